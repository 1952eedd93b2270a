#include <doctest/doctest.h>

#include <future>
#include <random>

#include "api/endpoints.h"
#include "stats/history.h"

using namespace mt;
using namespace std::chrono_literals;
using test::Endpoints;
using test::Reply;

namespace {

// A tenant with a feature for history, and two years of it.
struct OldTenant : Endpoints {
    OldTenant() {
        REQUIRE(add_open("old", {{"plan", std::string("professional")}}));
        REQUIRE(ask("old", "Hello").outcome);
        REQUIRE(ledger.flush());
        const TenantRecord record = *catalog->row("old");
        History history(files, "old", slots->writer());
        Totals totals = history.totals()->own;
        const WallTime now = clock.wall();
        for (int days = 700; days >= 0; --days) {
            totals.counters[0] += 3;
            REQUIRE(history.write(totals, now - std::chrono::hours{24 * days} - std::chrono::minutes{days * 7 % 600}));
        }
        REQUIRE(history.fold(now, {}));
        (*tenants.find("old"))->counters->slot().counters[0] = totals.counters[0];
    }

    Reply history(const std::string& query) { return call("GET", "/old/stats?" + query); }
};

}  // namespace

TEST_CASE("property: a series adds up to its totals, whatever span and step are") {
    OldTenant house;
    std::mt19937 random(5);
    const std::vector<std::string> fixed{"since=45d&step=45m", "since=33d&step=43m", "since=650d&step=1d",
                                         "since=650d&step=12h", "since=1h&step=1m"};
    for (int i = 0; i < 60; ++i) {
        const std::int64_t hours = 1 + static_cast<std::int64_t>(random() % (700 * 24));
        const std::int64_t least = hours * 60 / 1400 + 1;
        const std::string query = i < static_cast<int>(fixed.size())
                                      ? fixed[static_cast<std::size_t>(i)]
                                      : "since=" + std::to_string(hours) + "h&step=" +
                                            std::to_string(least + static_cast<std::int64_t>(random() % 3000)) + "m";
        CAPTURE(query);
        const Reply reply = house.history(query);
        REQUIRE(reply.status() == 200);
        const api::Json since = reply.json()["since"];
        std::int64_t sum = 0;
        std::string before;
        for (const api::Json& step : since["series"]) {
            sum += step["served"].get<std::int64_t>();
            CHECK(step["start"].get<std::string>() > before);
            before = step["start"].get<std::string>();
        }
        CHECK(sum == since["totals"]["served"]);
        CHECK(sum > 0);
        CHECK(since["series"].size() <= 1502);
    }
}

TEST_CASE("spans and steps that make no sense are refused") {
    OldTenant house;
    for (const char* query : {"step=1m", "since=1h&step=1s", "since=1h&step=90s", "since=1h&step=0m", "since=x",
                              "since=1h&step=x", "since=31d&step=1m", "since=-1h"}) {
        CAPTURE(query);
        CHECK(house.history(query).status() == 400);
    }
    CHECK(house.call("GET", "/acme/stats?since=1h").status() == 403);
}

TEST_CASE("regression: one history of a tenant is read at a time, and the others do not wait for it") {
    OldTenant house;
    const auto tenant = *house.tenants.find("old");
    {
        const std::lock_guard reading(*tenant->history_turn);
        const Reply reply = std::async(std::launch::async, [&] { return house.history("since=1h"); }).get();
        CHECK(reply.status() == 503);
        CHECK(reply.field("Retry-After") == "1");
        CHECK(house.call("GET", "/old/stats").status() == 200);
    }
    CHECK(house.history("since=1h").status() == 200);
}
