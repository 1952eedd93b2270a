#include <doctest/doctest.h>

#include <string>

#include "support/service_house.h"

using namespace mt;
using namespace std::chrono_literals;
using test::ServiceHouse;

namespace {

Settings with_budget(const std::string& budget) {
    return {{"budget", budget}, {"rate_limit", 1000}, {"cache_size", 0}};
}

}  // namespace

TEST_CASE("a tenant's budget comes from its settings and is kept in its slot") {
    ServiceHouse house;
    const Result<TenantRecord> record = house.add_open("acme", with_budget("60/day"));
    REQUIRE(record);
    ServiceHouse::Asked asked = house.ask("acme", "hello");
    for (int i = 0; i < 60 && asked.outcome; ++i) {
        asked = house.ask("acme", "hello");
    }
    REQUIRE_FALSE(asked.outcome);
    CHECK(asked.code() == Code::budget_spent);
    CHECK(asked.outcome.error().reason == "budget");
    CHECK(asked.outcome.error().retry_after == 24h);
    REQUIRE(asked.limit);
    CHECK(asked.limit->budget == 60);
    const Totals totals = house.totals("acme");
    CHECK(totals.of(Counter::denied_budget) == 1);

    const Slot* slot = house.slots->find(record->uid);
    REQUIRE(slot != nullptr);
    CHECK(slot->budget_used == totals.of(Counter::tokens_in) + totals.of(Counter::tokens_out));
    CHECK(slot->budget_period_start == 20'780);  // 2026-11-23
    const Gauges gauges = house.stats.one("acme")->gauges;
    CHECK(gauges.budget_tokens == 60);
    CHECK(gauges.budget_used_tokens == slot->budget_used);

    house.clock.step_wall(24h);
    CHECK(house.ask("acme", "hello").outcome);
}

TEST_CASE("a new budget in the settings holds at once, and what was used stays used") {
    ServiceHouse house;
    REQUIRE(house.add_open("acme", with_budget("1000/day")));
    REQUIRE(house.tenants.start());
    house.tenants.stop();
    REQUIRE(house.ask("acme", "hello").outcome);
    const auto set = [&](const std::string& budget) {
        SettingChanges changes;
        changes.emplace("budget", Value(budget));
        REQUIRE(house.catalog->update_tenant("acme", changes, ServiceHouse::anything, "ann"));
        REQUIRE(house.tenants.refresh());
    };
    set("1/month");
    CHECK(house.ask("acme", "hello").code() == Code::budget_spent);
    set("");
    CHECK(house.ask("acme", "hello").outcome);
    set("1/day");
    CHECK(house.ask("acme", "hello").code() == Code::budget_spent);
}
