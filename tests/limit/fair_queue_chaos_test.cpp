#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "limit/fair_house.h"
#include "limit/fair_queue.h"

using namespace mt;
using namespace mt::test;

namespace {

// The rules of the house, written down without sums and rings.
struct Rules {
    explicit Rules(const House& house, std::int64_t slots) {
        std::int64_t left = slots - 1;
        for (const Tenant& tenant : house.tenants) {
            const std::int64_t given = std::min(tenant.share.reserved, left);
            left -= given;
            reserved.push_back(given);
            const std::int64_t runs = tenant.lane == nullptr ? 0 : tenant.lane->running();
            running.push_back(runs);
            all_running += runs;
            shared_running += std::max<std::int64_t>(0, runs - given);
        }
        shared_slots = left + 1;
        room = all_running < slots;
    }
    [[nodiscard]] bool may_take(std::size_t tenant) const {
        return room && (running[tenant] < reserved[tenant] || shared_running < shared_slots);
    }

    std::vector<std::int64_t> reserved;
    std::vector<std::int64_t> running;
    std::int64_t all_running = 0;
    std::int64_t shared_running = 0;
    std::int64_t shared_slots = 0;
    bool room = false;
};

// What must hold after every step from `before` on. Returns what does not.
std::string fault(const House& house, std::int64_t slots, const std::vector<std::int64_t>& before) {
    const Rules rules(house, slots);
    const GateStatus status = house.queue.status();
    std::int64_t waiting = 0;
    std::int64_t reserved = 0;
    for (std::size_t i = 0; i < house.tenants.size(); ++i) {
        const Tenant& tenant = house.tenants[i];
        reserved += rules.reserved[i];
        if (tenant.lane == nullptr) {
            continue;
        }
        waiting += tenant.lane->waiting();
        if (tenant.lane->reserved() != rules.reserved[i]) {
            return "a reservation is not what the order of joining gives";
        }
        if (tenant.lane->waiting() != static_cast<std::int64_t>(tenant.waiting.size()) || !tenant.in_order) {
            return "a queue is not first in, first out";
        }
        if (tenant.lane->waiting() > 0 && rules.may_take(i)) {
            return "a caller waits who could go";
        }
        const bool more = rules.running[i] > (i < before.size() ? before[i] : 0);
        if (more && rules.all_running > slots) {
            return "more calls run than there are slots";
        }
        if (more && rules.running[i] > rules.reserved[i] && rules.shared_running > rules.shared_slots) {
            return "a slot was taken that is reserved for another tenant";
        }
    }
    const bool sums = status.running == rules.all_running && status.waiting == waiting && status.reserved == reserved &&
                      status.slots == slots && static_cast<std::int64_t>(house.running.size()) == status.running;
    return sums ? "" : "the status is not the sum over the tenants";
}

// One step of a busy and changing house.
class Chaos {
  public:
    explicit Chaos(std::uint64_t seed) : m_random(seed), house(settings_of(slots, max_waiting)) {}

    std::int64_t pick(std::int64_t low, std::int64_t high) {
        return low + static_cast<std::int64_t>(m_random() % static_cast<std::uint64_t>(high - low + 1));
    }
    GateShare pick_share() { return share_of(pick(1, 4), pick(0, 2) == 0 ? pick(1, 4) : 0, pick(0, 6)); }

    void step() {
        const auto what = pick(0, 99);
        const auto number = static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(house.tenants.size()) - 1));
        Tenant& tenant = house.tenants[number];
        if (what < 3 && house.tenants.size() < 40) {
            house.join(pick_share());
        } else if (what < 8) {
            slots = pick(1, 12);
            max_waiting = pick(0, 30);
            house.queue.reconfigure(settings_of(slots, max_waiting));
            house.bury();
        } else if (tenant.lane == nullptr) {
            return;
        } else if (what < 11 && tenant.lane->running() == 0 && tenant.lane->waiting() == 0) {
            house.part(number);
        } else if (what < 16) {
            tenant.share = pick_share();
            house.queue.reconfigure(*tenant.lane, tenant.share);
            house.bury();
        } else if (what < 22 && !tenant.waiting.empty()) {
            house.withdraw(number, m_random());
        } else if (what < 58 && !house.running.empty()) {
            static_cast<void>(house.leave(m_random() % house.running.size()));
        } else {
            static_cast<void>(house.arrive(number));
        }
    }

  private:
    std::mt19937_64 m_random;

  public:
    std::int64_t slots = 5;
    std::int64_t max_waiting = 20;
    House house;
};

}  // namespace

TEST_CASE("property: whatever happens, no rule is broken and nobody waits who could go") {
    int overfull = 0;
    std::size_t grants = 0;
    std::size_t refusals = 0;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        Chaos chaos(seed);
        chaos.house.join(share_of(1));
        for (int step = 0; step < 1500; ++step) {
            std::vector<std::int64_t> before;
            for (const Tenant& tenant : chaos.house.tenants) {
                before.push_back(tenant.lane == nullptr ? 0 : tenant.lane->running());
            }
            chaos.step();
            const std::string wrong = fault(chaos.house, chaos.slots, before);
            REQUIRE_MESSAGE(wrong.empty(), wrong, " (seed ", seed, ", step ", step, ")");
            overfull += chaos.house.queue.status().running > chaos.slots ? 1 : 0;
        }
        grants += chaos.house.grants.size();
        refusals += chaos.house.refusals.size();
        while (!chaos.house.running.empty()) {
            static_cast<void>(chaos.house.leave());
        }
        CHECK(chaos.house.queue.status().waiting == 0);
    }
    CHECK(overfull > 100);
    CHECK(grants > 1000);
    CHECK(refusals > 100);
}
