#include "limit/fair_queue.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "limit/fair_house.h"

using namespace mt;
using namespace mt::test;

namespace {

// Fills the slots and queues `depth` callers for each tenant; from then on each that goes is replaced.
void fill(House& house, const std::vector<int>& depths) {
    for (std::size_t tenant = 0; tenant < depths.size(); ++tenant) {
        for (int i = 0; i < depths[tenant]; ++i) {
            static_cast<void>(house.arrive(tenant));
        }
    }
    for (std::size_t tenant = 0; tenant < depths.size(); ++tenant) {
        while (house.tenants[tenant].lane->waiting() < depths[tenant]) {
            static_cast<void>(house.arrive(tenant));
        }
    }
    for (Tenant& tenant : house.tenants) {
        tenant.granted = 0;
    }
}

void turn(House& house, std::size_t which = 0) {
    for (const std::size_t tenant : house.leave(which)) {
        static_cast<void>(house.arrive(tenant));
    }
}

std::vector<double> granted(const House& house) {
    std::vector<double> counts;
    for (const Tenant& tenant : house.tenants) {
        counts.push_back(static_cast<double>(tenant.granted));
    }
    return counts;
}

double jain_index(const std::vector<double>& values) {
    double sum = 0;
    double squares = 0;
    for (const double value : values) {
        sum += value;
        squares += value * value;
    }
    return sum * sum / (static_cast<double>(values.size()) * squares);
}

}  // namespace

TEST_CASE("property: equal tenants that always wait get equal numbers of slots, however long their queues are") {
    std::mt19937_64 random(7);
    for (const std::int64_t slots : {1, 2, 7, 40}) {
        House house(settings_of(slots));
        std::vector<int> depths;
        for (int i = 0; i < 25; ++i) {
            house.join(share_of(1));
            depths.push_back(1 + static_cast<int>(random() % 30));
        }
        fill(house, depths);
        double widest = 0;
        for (int i = 0; i < 25 * 40; ++i) {
            turn(house, random() % house.running.size());
            const std::vector<double> counts = granted(house);
            const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
            widest = std::max(widest, *most - *least);
        }
        CHECK(jain_index(granted(house)) >= 0.99);
        CHECK(widest <= 1);  // at every moment
    }
}

TEST_CASE("property: tenants that always wait get slots in proportion to their weights, in every round") {
    const std::vector<std::int64_t> weights{4, 1, 2, 7};
    House house(settings_of(3));
    for (const std::int64_t weight : weights) {
        house.join(share_of(weight));
    }
    fill(house, {9, 30, 2, 2});
    std::vector<double> before(weights.size(), 0);
    for (int round = 0; round < 100; ++round) {
        for (int i = 0; i < 14; ++i) {
            turn(house);
        }
        const std::vector<double> counts = granted(house);
        for (std::size_t i = 0; i < weights.size(); ++i) {
            CHECK(counts[i] - before[i] == static_cast<double>(weights[i]));
        }
        before = counts;
    }
    CHECK(before[0] / before[1] == doctest::Approx(4).epsilon(0.05));
}

TEST_CASE("property: beside a tenant with 50 times the demand nobody waits for more than one round") {
    constexpr std::size_t k_others = 20;
    std::mt19937_64 random(11);
    House house(settings_of(4));
    const std::size_t greedy = house.join(share_of(1));
    for (std::size_t i = 0; i < k_others; ++i) {
        house.join(share_of(1));
    }
    while (house.tenants[greedy].lane->waiting() < 50) {
        static_cast<void>(house.arrive(greedy));
    }
    std::vector<std::size_t> arrived_at(k_others + 1, 0);
    std::size_t longest = 0;
    std::size_t served = 0;
    for (int i = 0; i < 5000; ++i) {
        const std::size_t number = 1 + random() % k_others;
        if (house.tenants[number].lane->waiting() == 0 && random() % 3 != 0) {
            REQUIRE(house.arrive(number) == House::Arrival::waits);
            arrived_at[number] = house.grants.size();
        }
        for (const std::size_t tenant : house.leave(random() % house.running.size())) {
            if (tenant == greedy) {
                static_cast<void>(house.arrive(greedy));
            } else {
                ++served;
                longest = std::max(longest, house.grants.size() - arrived_at[tenant]);
            }
        }
    }
    CHECK(served > 2000);
    CHECK(longest <= k_others + 1);
    CHECK(house.tenants[greedy].lane->waiting() == 50);
}

TEST_CASE("a tenant that empties its queue comes back to the end of the ring, without what was left of its turn") {
    House house(settings_of(1));
    const std::size_t heavy = house.join(share_of(3));
    const std::size_t light = house.join(share_of(1));
    CHECK(house.arrive(light) == House::Arrival::runs);
    CHECK(house.arrive(heavy) == House::Arrival::waits);
    CHECK(house.arrive(light) == House::Arrival::waits);
    CHECK(house.leave() == std::vector<std::size_t>{heavy});
    CHECK(house.arrive(heavy) == House::Arrival::waits);
    CHECK(house.leave() == std::vector<std::size_t>{light});
    for (int i = 0; i < 4; ++i) {
        CHECK(house.arrive(heavy) == House::Arrival::waits);
    }
    CHECK(house.arrive(light) == House::Arrival::waits);
    for (const std::size_t next : {heavy, heavy, heavy, light, heavy}) {
        CHECK(house.leave() == std::vector<std::size_t>{next});
    }
}

TEST_CASE("reserved slots are there at once for their tenant and for nobody else") {
    House house(settings_of(10));
    const std::size_t reserver = house.join(share_of(1, 4));
    const std::size_t other = house.join(share_of(1));
    for (int i = 0; i < 6; ++i) {
        CHECK(house.arrive(other) == House::Arrival::runs);
    }
    CHECK(house.arrive(other) == House::Arrival::waits);
    for (int i = 0; i < 4; ++i) {
        CHECK(house.arrive(reserver) == House::Arrival::runs);  // although another waits
    }
    CHECK(house.arrive(reserver) == House::Arrival::waits);  // its fifth is a call like any other

    SUBCASE("a slot that it frees is its own again") {
        CHECK(house.leave(6) == std::vector<std::size_t>{reserver});
        CHECK(house.leave(6) == std::vector<std::size_t>{});
        CHECK(house.arrive(reserver) == House::Arrival::runs);
    }
    SUBCASE("a shared slot goes round") {
        CHECK(house.leave() == std::vector<std::size_t>{other});
        CHECK(house.leave() == std::vector<std::size_t>{reserver});
    }
    SUBCASE("what it no longer reserves others take") {
        house.withdraw(reserver, 0);
        CHECK(house.leave(9) == std::vector<std::size_t>{});
        house.queue.reconfigure(*house.tenants[reserver].lane, share_of(1, 3));
        CHECK(house.grants == std::vector<std::size_t>{other});
    }
}

TEST_CASE("reservations that are too large leave one slot to share; the last to join get less") {
    House house(settings_of(10));
    std::vector<std::size_t> numbers;
    for (const std::int64_t reserved : {4, 4, 4, 1}) {
        numbers.push_back(house.join(share_of(1, reserved)));
    }
    const auto in_force = [&] {
        std::vector<std::int64_t> all;
        for (const Tenant& tenant : house.tenants) {
            all.push_back(tenant.lane == nullptr ? -1 : tenant.lane->reserved());
        }
        return all;
    };
    CHECK(in_force() == std::vector<std::int64_t>{4, 4, 1, 0});
    CHECK(house.queue.status().reserved == 9);
    const std::size_t poor = house.join(share_of(1));
    CHECK(house.arrive(poor) == House::Arrival::runs);
    CHECK(house.arrive(poor) == House::Arrival::waits);
    house.part(numbers[0]);
    CHECK(in_force() == std::vector<std::int64_t>{-1, 4, 4, 1, 0});
    house.queue.reconfigure(settings_of(1));
    CHECK(in_force() == std::vector<std::int64_t>{-1, 0, 0, 0, 0});
    house.queue.reconfigure(settings_of(50));
    CHECK(in_force() == std::vector<std::int64_t>{-1, 4, 4, 1, 0});
    CHECK(house.grants == std::vector<std::size_t>{poor});
}

TEST_CASE("in an overfull house the next free slots go to those below their reservations, in turn") {
    House house(settings_of(5));
    const std::size_t first = house.join(share_of(1));
    const std::size_t a = house.join(share_of(1));
    const std::size_t b = house.join(share_of(1));
    for (int i = 0; i < 5; ++i) {
        CHECK(house.arrive(first) == House::Arrival::runs);
    }
    for (const std::size_t tenant : {first, first, a, a, a, b, b}) {
        CHECK(house.arrive(tenant) == House::Arrival::waits);
    }
    house.queue.reconfigure(*house.tenants[a].lane, share_of(1, 2));
    house.queue.reconfigure(*house.tenants[b].lane, share_of(1, 2));
    CHECK(house.leave() == std::vector<std::size_t>{a});
    CHECK(house.leave(4) == std::vector<std::size_t>{b});  // a's call has ended: one slot changes between the two
    CHECK(house.leave(4) == std::vector<std::size_t>{a});
    CHECK(house.leave() == std::vector<std::size_t>{b});
    CHECK(house.leave() == std::vector<std::size_t>{a});
    CHECK(house.leave() == std::vector<std::size_t>{});  // of the four slots that are left one is b's
    CHECK(house.arrive(b) == House::Arrival::runs);
}

TEST_CASE("a tenant's queue takes as many as its limit says") {
    House house(settings_of(1));
    const std::size_t tenant = house.join(share_of(1, 0, 3));
    const std::size_t proud = house.join(share_of(1, 0, 0));
    CHECK(house.arrive(proud) == House::Arrival::runs);
    CHECK(house.arrive(proud) == House::Arrival::lane_full);  // does not wait at all
    for (int i = 0; i < 3; ++i) {
        CHECK(house.arrive(tenant) == House::Arrival::waits);
    }
    CHECK(house.arrive(tenant) == House::Arrival::lane_full);
    CHECK(house.queue.status().refused_full == 2);
    house.queue.reconfigure(*house.tenants[tenant].lane, share_of(1, 0, 1));
    CHECK(house.tenants[tenant].lane->waiting() == 3);  // who waits may stay
    CHECK(house.leave() == std::vector<std::size_t>{tenant});
    CHECK(house.arrive(tenant) == House::Arrival::lane_full);
}

TEST_CASE("a full house refuses the youngest of the longest queue for its weight, or the newcomer") {
    House house(settings_of(1, 6));
    const std::size_t heavy = house.join(share_of(4));
    const std::size_t light = house.join(share_of(1));
    const std::size_t newcomer = house.join(share_of(1));
    CHECK(house.arrive(newcomer) == House::Arrival::runs);
    for (const std::size_t tenant : {heavy, light, heavy, heavy, light, light}) {
        CHECK(house.arrive(tenant) == House::Arrival::waits);
    }
    const std::int64_t youngest = house.tenants[light].waiting.back().number;
    CHECK(house.arrive(light) == House::Arrival::all_full);  // its own is the longest
    CHECK(house.arrive(newcomer) == House::Arrival::waits);  // 3 of light against 3/4 of heavy
    CHECK(house.tenants[light].waiting.back().number < youngest);
    CHECK(house.arrive(newcomer) == House::Arrival::all_full);  // both would have 2
    CHECK(house.arrive(heavy) == House::Arrival::waits);
    CHECK(house.refusals == std::vector<std::size_t>{light, light});
    CHECK(house.tenants[light].waiting.size() == 1);
    CHECK(house.queue.status().waiting == 6);
    CHECK(house.queue.status().refused_full == 4);

    house.queue.reconfigure(settings_of(1, 0));
    CHECK(house.queue.status().waiting == 6);
    house.queue.reconfigure(settings_of(3, 0));
    CHECK(house.grants == std::vector<std::size_t>{heavy, heavy});  // the turn of its weight goes on
    CHECK(house.arrive(newcomer) == House::Arrival::all_full);
}
