#include <doctest/doctest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "pipeline/stages.h"
#include "stats/history.h"
#include "support/service_house.h"

using namespace mt;
using namespace std::chrono_literals;
using test::ServiceHouse;

TEST_CASE("the chain is the one of the plan, outermost first") {
    const auto stages = pipeline_stages();
    const std::vector<Stage> wanted{stages::observe, stages::authenticate, stages::validate, stages::authorize,
                                    stages::admit,   stages::cache,        stages::slot,     stages::agent};
    CHECK(std::vector<Stage>(stages.begin(), stages.end()) == wanted);
}

TEST_CASE("a plain question is answered in the words of the reference example") {
    ServiceHouse house;
    REQUIRE(house.add_open("tenant-basic", {{"name", "Basic Corp"}}));
    const auto asked = house.ask("tenant-basic", "Hello");
    REQUIRE(asked.outcome);
    CHECK(asked.text ==
          "[Basic Corp] Received: Hello\nAvailable features: [basic-chat]\nProcessing with Basic tier configuration");
    const Totals totals = house.totals("tenant-basic");
    CHECK(totals.of(Counter::served) == 1);
    CHECK(totals.of(Counter::tokens_out) > 0);
}

TEST_CASE("every refusal of authentication is the same") {
    ServiceHouse house;
    REQUIRE(house.add("acme"));
    REQUIRE(house.add_open("open"));
    REQUIRE(house.add("other"));
    const NewKey good = *house.catalog->create_key({"acme"}, "ann");
    const NewKey expiring = *house.catalog->create_key({"acme", "", 5s}, "ann");
    const NewKey revoked = *house.catalog->create_key({"acme"}, "ann");
    const NewKey foreign = *house.catalog->create_key({"other"}, "ann");
    REQUIRE(house.catalog->revoke_key(revoked.record.key_id, "ann"));
    REQUIRE(house.ask("acme", "hi", "", good.text).outcome);
    REQUIRE(house.ask("acme", "hi", "", expiring.text).outcome);
    house.clock.advance(5s);
    const std::vector<ServiceHouse::Asked> refusals{
        house.ask("acme", "hi"),
        house.ask("acme", "hi", "", ""),
        house.ask("acme", "hi", "", "nonsense"),
        house.ask("acme", "hi", "", revoked.text),
        house.ask("acme", "hi", "", expiring.text),
        house.ask("acme", "hi", "", foreign.text),
        house.ask("open", "hi", "", good.text),
        house.ask("nobody", "hi", "", good.text),
        house.ask("../acme", "hi", "", good.text),
    };
    for (const ServiceHouse::Asked& refusal : refusals) {
        REQUIRE_FALSE(refusal.outcome);
        CHECK(refusal.code() == Code::unauthorized);
        CHECK(refusal.outcome.error().message == "Invalid tenant");
        CHECK_FALSE(refusal.limit);
    }
    CHECK(house.totals("acme").of(Counter::unauthorized) == 6);
    CHECK(house.totals("acme").requests() == 2);
    REQUIRE(house.catalog->set_suspended("acme", true, "ann"));
    REQUIRE(house.tenants.refresh());
    CHECK(house.ask("acme", "hi", "", good.text).outcome.error().message == "Invalid tenant");
}

TEST_CASE("a stranger spends nothing of a tenant's quota, and a bad question neither") {
    ServiceHouse house;
    REQUIRE(house.add("acme"));
    const NewKey key = *house.catalog->create_key({"acme"}, "ann");
    for (int i = 0; i < 50; ++i) {
        CHECK_FALSE(house.ask("acme", "hi").outcome);
        CHECK(house.ask("acme", "  ", "", key.text).code() == Code::invalid);
        CHECK(house.ask("acme", "\xff", "", key.text).code() == Code::invalid);
        CHECK(house.ask("acme", "hi", "no/session", key.text).code() == Code::invalid);
    }
    CHECK(house.ask("acme", std::string(300'000, 'x'), "", key.text).code() == Code::too_large);
    CHECK(house.ask("acme", "hi", "", key.text).limit->remaining == 9);
    CHECK(house.totals("acme").requests() == 1);
    CHECK(house.pipeline.invalid_requests >= 151);
}

TEST_CASE("the limit admits its burst, and waiting exactly as long as told succeeds") {
    ServiceHouse house;
    REQUIRE(house.add_open("acme"));
    for (int i = 0; i < 10; ++i) {
        CHECK(house.ask("acme", "q" + std::to_string(i)).outcome);
    }
    const auto denied = house.ask("acme", "one more");
    REQUIRE_FALSE(denied.outcome);
    CHECK(denied.code() == Code::rate_limited);
    CHECK(denied.outcome.error().reason == "requests");
    CHECK(denied.limit->remaining == 0);
    const std::chrono::nanoseconds wait = *denied.outcome.error().retry_after;
    house.clock.advance(wait - 1ns);
    CHECK_FALSE(house.ask("acme", "too early").outcome);
    house.clock.advance(1ns);
    CHECK(house.ask("acme", "now").outcome);
    CHECK(house.totals("acme").of(Counter::denied_requests) == 2);
    CHECK(house.totals("acme").allowed() == 11);
}

TEST_CASE("a feature the plan lacks is 403, named, and charges nothing") {
    ServiceHouse house;
    REQUIRE(house.add_open("basic"));
    REQUIRE(house.add_open("pro", {{"plan", "professional"}}));
    REQUIRE(house.add_open("none", {{"features", std::vector<std::string>{}}}));
    const auto refused = house.ask("basic", "analyze 3, 5, 8");
    CHECK(refused.code() == Code::feature_required);
    CHECK(refused.outcome.error().reason == "advanced-analytics");
    CHECK(refused.limit->remaining == 10);
    CHECK(house.ask("none", "hi").outcome.error().reason == "basic-chat");
    CHECK(house.totals("basic").of(Counter::denied_feature) == 1);
    CHECK(house.totals("basic").allowed() == 0);
    const auto answered = house.ask("pro", "analyze 3, 5, 8 and multiply the mean by 12");
    REQUIRE(answered.outcome);
    CHECK(answered.text.find("calculator: 64") != std::string::npos);
}

TEST_CASE("only what is a function of the question is cached") {
    ServiceHouse house;
    REQUIRE(house.add_open("acme", {{"rate_limit", 1000}}));
    REQUIRE(house.add_open("other", {{"rate_limit", 1000}}));
    CHECK(house.ask("acme", "Hello").cache == CacheUse::miss);
    const auto hit = house.ask("acme", "Hello");
    CHECK(hit.cache == CacheUse::hit);
    CHECK(hit.text.starts_with("[acme] Received: Hello"));
    CHECK(house.ask("other", "Hello").cache == CacheUse::miss);
    CHECK(house.ask("acme", "calculate 2+3").cache == CacheUse::miss);
    CHECK(house.ask("acme", "calculate 2+3").cache == CacheUse::hit);
    for (int i = 0; i < 2; ++i) {
        CHECK(house.ask("acme", "Hello", "session").cache == CacheUse::bypass);
        CHECK(house.ask("acme", "what time is it?").cache == CacheUse::bypass);
        CHECK(house.ask("acme", "remember color = blue").cache == CacheUse::bypass);
        CHECK(house.ask("acme", "recall color").cache == CacheUse::bypass);
    }
    house.clock.advance(5min);
    CHECK(house.ask("acme", "Hello").cache == CacheUse::miss);
    CHECK(house.totals("acme").of(Counter::cache_hits) == 2);
}

TEST_CASE("a hit costs a request but no tokens") {
    ServiceHouse house;
    REQUIRE(house.add_open("acme"));
    REQUIRE(house.ask("acme", "Hello").outcome);
    const Totals before = house.totals("acme");
    const auto hit = house.ask("acme", "Hello");
    CHECK(hit.limit->remaining == 8);
    CHECK(house.totals("acme").of(Counter::tokens_in) == before.of(Counter::tokens_in));
    CHECK(house.totals("acme").of(Counter::served) == 2);
}

TEST_CASE("a full store is 507 for what writes, while reading and erasing go on") {
    ServiceHouse house;
    for (const char* type : {"memory", "sqlite"}) {
        REQUIRE(
            house.add_open(type, {{"storage_type", std::string(type)}, {"max_storage", 400}, {"rate_limit", 1000}}));
        REQUIRE(house.ask(type, "remember color = blue").outcome);
        const auto full = house.ask(type, "remember story = " + std::string(500, 'x'));
        REQUIRE_FALSE(full.outcome);
        CHECK(full.code() == Code::storage_full);
        CHECK(house.ask(type, "recall color").text.find("blue") != std::string::npos);
        CHECK(house.ask(type, std::string(400, 'y'), "session").code() == Code::storage_full);
        CHECK(house.totals(type).of(Counter::failed) == 2);
    }
}

TEST_CASE("concurrency: calls above the limit are refused and cost nothing") {
    ServiceHouse house;
    REQUIRE(house.add_open("acme", {{"max_concurrency", 1}}));
    const auto tenant = *house.tenants.find("acme");
    {
        const Result<Permit> held = tenant->limits->admit({}, {});
        REQUIRE(held);
        const auto refused = house.ask("acme", "hi");
        CHECK(refused.outcome.error().reason == "concurrency");
        CHECK(house.totals("acme").of(Counter::denied_concurrency) == 1);
    }
    CHECK(house.ask("acme", "hi").outcome);
    CHECK(tenant->limits->in_flight() == 0);
}

TEST_CASE("counts, views and ledger agree after many mixed calls") {
    ServiceHouse house;
    REQUIRE(house.add_open("acme", {{"rate_limit", 300}, {"burst", 40}}));
    std::int64_t served = 0;
    std::int64_t denied = 0;
    std::int64_t unauthorized = 0;
    for (int i = 0; i < 500; ++i) {
        const auto asked = house.ask("acme", i % 7 == 0 ? "analyze 1, 2, 3" : "q" + std::to_string(i % 9), "",
                                     i % 11 == 0 ? std::optional<std::string>("bad") : std::nullopt);
        served += asked.outcome ? 1 : 0;
        denied += !asked.outcome && asked.code() != Code::unauthorized ? 1 : 0;
        unauthorized += !asked.outcome && asked.code() == Code::unauthorized ? 1 : 0;
        house.clock.advance(std::chrono::milliseconds{i % 300});
    }
    REQUIRE(house.ledger.flush());
    const Totals live = house.totals("acme");
    CHECK(live.of(Counter::served) == served);
    CHECK(live.denied() == denied);
    CHECK(live.of(Counter::unauthorized) == unauthorized);
    const std::string uid = (*house.tenants.find("acme"))->record.uid;
    CHECK(History(house.files, "acme", house.slots->writer()).totals()->own == live);
    std::vector<std::string> faults;
    CHECK(house.stats.all(faults)->front().totals == live);
    CHECK(faults.empty());
    CHECK(Books(house.files, house.slots.get(), "acme", uid).verify()->faults.empty());
}

TEST_CASE("a client that left while waiting for another's answer frees its place") {
    ServiceHouse house;
    REQUIRE(house.add_open("acme", {{"rate_limit", 1000}}));
    const auto tenant = *house.tenants.find("acme");
    std::mutex mutex;
    std::condition_variable wake;
    bool computing = false;
    bool release = false;
    std::jthread leader([&] {
        tenant->flights->run("q:slow", Context{}, [&](const std::stop_token&) -> Result<std::string> {
            std::unique_lock lock(mutex);
            computing = true;
            wake.notify_all();
            wake.wait(lock, [&] { return release; });
            return std::string("slow answer");
        });
    });
    {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return computing; });
    }
    std::stop_source client;
    Result<void> outcome;
    std::jthread follower([&] {
        test::TextSink sink;
        Call call(sink);
        call.tenant_id = "acme";
        call.question = Question{"slow", ""};
        call.context.stop = client.get_token();
        outcome = run_pipeline(call, house.pipeline);
    });
    while (tenant->flights->waiting("q:slow") == 0) {
        std::this_thread::yield();
    }
    client.request_stop();
    follower.join();
    CHECK(outcome.error().code == Code::client_gone);
    CHECK(tenant->limits->in_flight() == 0);
    {
        const std::lock_guard lock(mutex);
        release = true;
    }
    wake.notify_all();
}
