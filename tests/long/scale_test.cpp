#include <doctest/doctest.h>

#include <random>

#include "support/service_house.h"

using namespace mt;

TEST_CASE("five thousand tenants: listed, asked, counted, with few files open") {
    constexpr int k_tenants = 5000;
    test::ServiceHouse house;
    for (int i = 0; i < k_tenants; ++i) {
        REQUIRE(house.add_open("tenant-" + std::to_string(i)));
    }
    std::int64_t listed = 0;
    REQUIRE(for_each_tenant(*house.catalog, [&](const TenantRecord&) -> Result<void> {
        ++listed;
        return {};
    }));
    CHECK(listed == k_tenants);
    std::mt19937 random(11);
    for (int i = 0; i < 2000; ++i) {
        REQUIRE(house.ask("tenant-" + std::to_string(random() % k_tenants), "Hello " + std::to_string(i)).outcome);
    }
    CHECK(house.files.open_count() <= 16);
    REQUIRE(house.ledger.flush());
    std::vector<std::string> faults;
    std::int64_t served = 0;
    const Result<std::vector<TenantSample>> samples = house.stats.all(faults);
    REQUIRE(samples);
    for (const TenantSample& sample : *samples) {
        served += sample.totals.of(Counter::served);
    }
    CHECK(faults.empty());
    CHECK(served == 2000);
}
