#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <list>
#include <vector>

#include "limit/fair_queue.h"

namespace mt::test {

class House;

/// A caller that waits; the house learns how that ends.
struct Caller final : mt::FairTicket {
    Caller(House& the_house, std::size_t the_tenant, std::int64_t the_number)
        : house(the_house), tenant(the_tenant), number(the_number) {}
    void on_end() override;

    House& house;
    const std::size_t tenant;
    const std::int64_t number;  // in the order of arrival
};

/// A tenant of the house, its calls, and what became of them.
struct Tenant {
    FairLane* lane = nullptr;  // null: it left
    GateShare share;
    std::list<Caller> waiting;
    std::int64_t granted = 0;  // to callers that waited
    std::int64_t last = -1;    // number of the last of them
    bool in_order = true;
};

/// A queue, its tenants, and a record of what became of their callers.
class House {
  public:
    explicit House(const GateSettings& settings) : queue(settings) {}

    std::size_t join(const GateShare& share) {
        tenants.emplace_back();
        tenants.back().share = share;
        tenants.back().lane = &queue.join(share);
        return tenants.size() - 1;
    }

    enum class Arrival { runs, waits, lane_full, all_full };

    Arrival arrive(std::size_t number) {
        Tenant& tenant = tenants[number];
        if (queue.take(*tenant.lane)) {
            running.push_back(number);
            return Arrival::runs;
        }
        Caller& caller = tenant.waiting.emplace_back(*this, number, ++m_callers);
        const FairQueue::Entry entry = queue.wait(*tenant.lane, caller);
        bury();
        if (entry == FairQueue::Entry::waits) {
            return Arrival::waits;
        }
        tenant.waiting.pop_back();
        return entry == FairQueue::Entry::lane_full ? Arrival::lane_full : Arrival::all_full;
    }

    /// A caller of the tenant that waits, chosen by `which`, leaves.
    void withdraw(std::size_t number, std::size_t which) {
        std::list<Caller>& waiting = tenants[number].waiting;
        const auto leaver = std::next(waiting.begin(), static_cast<std::ptrdiff_t>(which % waiting.size()));
        queue.withdraw(*leaver);
        waiting.erase(leaver);
    }

    /// The call that runs for the longest time ends, or the `which`-th. Returns who got slots for it.
    std::vector<std::size_t> leave(std::size_t which = 0) {
        const auto leaver = running.begin() + static_cast<std::ptrdiff_t>(which);
        const std::size_t tenant = *leaver;
        running.erase(leaver);
        const std::size_t before = grants.size();
        queue.give_back(*tenants[tenant].lane);
        bury();
        return {grants.begin() + static_cast<std::ptrdiff_t>(before), grants.end()};
    }

    void part(std::size_t number) {
        queue.part(*tenants[number].lane);
        tenants[number].lane = nullptr;
        tenants[number].share = {};
        bury();
    }

    void ended(Caller& caller) {
        Tenant& tenant = tenants[caller.tenant];
        (caller.granted() ? grants : refusals).push_back(caller.tenant);
        if (caller.granted()) {
            running.push_back(caller.tenant);
            ++tenant.granted;
            tenant.in_order = tenant.in_order && caller.number > tenant.last;
            tenant.last = caller.number;
        }
    }

    /// Those whose wait has ended go.
    void bury() {
        for (Tenant& tenant : tenants) {
            tenant.waiting.remove_if([](const Caller& caller) { return caller.granted() || caller.refused(); });
        }
    }

    FairQueue queue;
    std::vector<Tenant> tenants;
    std::deque<std::size_t> running;    // tenants of the calls that run
    std::vector<std::size_t> grants;    // tenants of the callers that got a slot after a wait, in order
    std::vector<std::size_t> refusals;  // tenants of the callers that were pushed out, in order

  private:
    std::int64_t m_callers = 0;
};

inline void Caller::on_end() {
    house.ended(*this);
}

/// For a queue, which knows no time.
inline GateSettings settings_of(std::int64_t slots, std::int64_t max_waiting = 100'000) {
    GateSettings settings;
    settings.slots = slots;
    settings.max_waiting = max_waiting;
    return settings;
}

inline GateShare share_of(std::int64_t weight, std::int64_t reserved = 0, std::int64_t queue_limit = 1000) {
    return GateShare{.weight = weight, .reserved = reserved, .queue_limit = queue_limit};
}

}  // namespace mt::test
