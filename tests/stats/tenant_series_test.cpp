#include "stats/tenant_series.h"

#include <doctest/doctest.h>

#include <map>
#include <random>

#include "base/ids.h"
#include "support/fake_clock.h"
#include "support/temp_folder.h"

using namespace mt;

namespace {

std::map<std::string, std::int64_t> served_of(const TenantSeries& series) {
    std::map<std::string, std::int64_t> served;
    for (const TenantSample& sample : series.samples()) {
        served[sample.tenant] = sample.totals.of(Counter::served);
    }
    return served;
}

}  // namespace

TEST_CASE("no counter ever falls, whatever tenants come and go") {
    const test::TempFolder folder;
    const test::FakeClock clock;
    const auto slots = *SlotFile::open(folder.path() / "s", clock);
    TenantSeries series(*slots, 5);
    std::mt19937 random(3);
    std::map<std::string, std::string> living;  // id -> uid
    std::int64_t all = 0;
    std::map<std::string, std::int64_t> before;
    for (int round = 0; round < 5000; ++round) {
        const std::string tenant = "t" + std::to_string(random() % 12);
        const auto found = living.find(tenant);
        if (found == living.end()) {
            const std::string uid = random_hex(16);
            series.begin(tenant, uid);
            REQUIRE(slots->acquire(uid));
            living.emplace(tenant, uid);
        } else if (random() % 20 == 0) {
            series.retire(tenant, found->second);
            living.erase(found);
        } else {
            (*slots->acquire(found->second))->counters[0] += 1;
            ++all;
        }
        const std::map<std::string, std::int64_t> now = served_of(series);
        std::int64_t sum = 0;
        for (const auto& [id, served] : now) {
            sum += served;
        }
        REQUIRE(sum == all);
        for (const auto& [id, served] : before) {
            REQUIRE(now.at(id) >= served);
        }
        before = now;
    }
    CHECK(before.size() == 6);
    CHECK(before.contains("_other"));
    CHECK(series.full());
}

TEST_CASE("without more tenants than series there is no other") {
    const test::TempFolder folder;
    const test::FakeClock clock;
    const auto slots = *SlotFile::open(folder.path() / "s", clock);
    TenantSeries series(*slots, 5);
    series.see("acme", random_hex(16));
    CHECK(served_of(series) == std::map<std::string, std::int64_t>{{"acme", 0}});
    CHECK_FALSE(series.full());
}
