#include <doctest/doctest.h>

#include <atomic>
#include <random>
#include <thread>

#include "support/service_house.h"

using namespace mt;
using namespace std::chrono_literals;
using test::ServiceHouse;

namespace {

SettingChanges set(const std::string& field, Value value) {
    SettingChanges changes;
    changes.emplace(field, std::move(value));
    return changes;
}

}  // namespace

TEST_CASE("tenants load at their first call and only then") {
    ServiceHouse house;
    REQUIRE(house.add("acme", {{"plan", "professional"}}));
    CHECK(house.tenants.loaded().empty());
    const auto tenant = house.tenants.find("acme");
    REQUIRE(tenant);
    CHECK((*tenant)->config.rate_limit == 100);
    CHECK(house.tenants.loaded().size() == 1);
    CHECK(*house.tenants.find("acme") == *tenant);
    for (const char* id : {"nobody", "", "..", "Acme", "stats"}) {
        CHECK(house.tenants.find(id).error().code == Code::not_found);
    }
}

TEST_CASE("a change is applied by refresh and keeps limits, counters and data") {
    ServiceHouse house;
    REQUIRE(house.add_open("acme"));
    REQUIRE(house.tenants.start());
    house.tenants.stop();
    REQUIRE(house.ask("acme", "hi").outcome);
    const auto before = *house.tenants.find("acme");
    REQUIRE(before->store->put("ns", "key", "value"));
    REQUIRE(house.catalog->update_tenant("acme", set("rate_limit", 50), ServiceHouse::anything, "ann"));
    REQUIRE(house.tenants.refresh());
    const auto after = *house.tenants.find("acme");
    CHECK(after != before);
    CHECK(after->config.rate_limit == 50);
    CHECK(after->limits == before->limits);
    CHECK(after->counters == before->counters);
    CHECK((*after->store->get("ns", "key"))->value == "value");
    CHECK(after->cache != before->cache);
    CHECK(house.totals("acme").requests() == 1);
}

TEST_CASE("a new plan in the file reaches loaded tenants, and their cache starts empty") {
    ServiceHouse house;
    REQUIRE(house.add_open("acme"));
    REQUIRE(house.ask("acme", "hi").outcome);
    CHECK(house.ask("acme", "hi").cache == CacheUse::hit);
    REQUIRE(house.tenants.reconfigure(
        std::make_shared<const Config>(*parse_config("[plans.basic]\nrate_limit = 33\n", ""))));
    CHECK((*house.tenants.find("acme"))->config.rate_limit == 33);
    CHECK(house.ask("acme", "hi").cache == CacheUse::miss);
}

TEST_CASE("a removed tenant is erased after its last call, and a new life has nothing of it") {
    ServiceHouse house;
    REQUIRE(house.add_open("acme", {{"storage_type", "sqlite"}}));
    REQUIRE(house.tenants.start());
    house.tenants.stop();
    for (int i = 0; i < 15; ++i) {
        static_cast<void>(house.ask("acme", "remember color = blue", "s1").outcome.has_value());
    }
    CHECK(house.ask("acme", "hi").code() == Code::rate_limited);
    auto running = *house.tenants.find("acme");
    const std::string uid = running->record.uid;
    REQUIRE(house.catalog->begin_removal("acme", "ann"));
    REQUIRE(house.tenants.refresh());
    CHECK(house.ask("acme", "hi").code() == Code::unauthorized);
    CHECK(house.catalog->row("acme")->status == TenantStatus::removing);  // a call still runs
    running.reset();
    REQUIRE(house.tenants.refresh());
    CHECK(house.catalog->row("acme")->status == TenantStatus::removed);
    CHECK(house.slots->find(uid) == nullptr);
    REQUIRE(house.add_open("acme", {{"storage_type", "sqlite"}}));
    REQUIRE(house.tenants.refresh());
    CHECK(house.totals("acme") == Totals{});
    const auto fresh = house.ask("acme", "recall color");
    REQUIRE(fresh.outcome);
    CHECK(fresh.text.find("blue") == std::string::npos);
    CHECK(fresh.limit->remaining == 9);
    CHECK((*house.tenants.find("acme"))->agent->sessions().list("", 10)->sessions.empty());
}

TEST_CASE("a removal interrupted by a crash is finished at the next start") {
    ServiceHouse house;
    REQUIRE(house.add_open("acme"));
    REQUIRE(house.catalog->begin_removal("acme", "ann"));
    REQUIRE(house.tenants.start());
    house.tenants.stop();
    CHECK(house.catalog->row("acme")->status == TenantStatus::removed);
    CHECK_FALSE(house.files.exists("acme"));
}

TEST_CASE("operators' keys are known and can be revoked") {
    ServiceHouse house;
    REQUIRE(house.tenants.start());
    house.tenants.stop();
    const NewKey key = *house.catalog->create_key({"", "ci", std::nullopt, true}, "ann");
    REQUIRE(house.tenants.refresh());
    CHECK(house.tenants.operator_key(key.text, house.clock.wall())->read_only);
    CHECK_FALSE(house.tenants.operator_key(generate_key().text, house.clock.wall()));
    REQUIRE(house.catalog->revoke_key(key.record.key_id, "ann"));
    REQUIRE(house.tenants.refresh());
    CHECK_FALSE(house.tenants.operator_key(key.text, house.clock.wall()));
}

TEST_CASE("an open tenant needs a key where others can reach the server") {
    ServiceHouse house;
    house.factory.set_open_allowed(false);
    REQUIRE(house.add_open("acme"));
    CHECK(house.ask("acme", "hi").code() == Code::unauthorized);
    const NewKey key = *house.catalog->create_key({"acme"}, "ann");
    CHECK(house.tenants.refresh());
    CHECK(house.ask("acme", "hi", "", key.text).outcome);
}

TEST_CASE("key_hashes of the configuration open the tenant") {
    ServiceHouse house;
    const NewKey key = generate_key();
    const std::string hash = key.record.key_id + ":" + to_hex(key.record.hash);
    REQUIRE(house.add("acme", {{"key_hashes", std::vector<std::string>{hash}}}));
    CHECK(house.ask("acme", "hi", "", key.text).outcome);
    CHECK(house.ask("acme", "hi", "", generate_key().text).code() == Code::unauthorized);
}

TEST_CASE("a damaged tenant file is a service that is away, not an unknown tenant") {
    ServiceHouse house;
    REQUIRE(house.add_open("acme"));
    REQUIRE(house.files.remove("acme"));
    const auto asked = house.ask("acme", "hi");
    CHECK(asked.code() == Code::unavailable);
    CHECK(asked.outcome.error().message.find("acme") == std::string::npos);
}

TEST_CASE("two tenants with identical keys and questions never see each other") {
    constexpr int k_steps = 2000;
    ServiceHouse house;
    const Settings own{{"rate_limit", 1'000'000'000}, {"plan", "professional"}};
    for (const char* id : {"one", "two"}) {
        Settings settings = own;
        settings["storage_type"] = std::string(std::string(id) == "one" ? "memory" : "sqlite");
        REQUIRE(house.add_open(id, settings));
    }
    std::mt19937 random(7);
    std::map<std::string, std::map<std::string, std::string>> model;
    for (int step = 0; step < k_steps; ++step) {
        const std::string tenant = random() % 2 == 0 ? "one" : "two";
        const std::string key = "item" + std::to_string(random() % 10);
        if (random() % 3 == 0) {
            const std::string value = tenant + "owns" + std::to_string(random() % 1000);
            REQUIRE(house.ask(tenant, "remember " + key + " = " + value).outcome);
            model[tenant][key] = value;
            continue;
        }
        const auto asked = house.ask(tenant, "recall " + key);
        REQUIRE(asked.outcome);
        const std::string other = tenant == "one" ? "twoowns" : "oneowns";
        CHECK(asked.text.find(other) == std::string::npos);
        if (model[tenant].contains(key)) {
            CHECK_MESSAGE(asked.text.find(model[tenant][key]) != std::string::npos, asked.text);
        }
    }
}

TEST_CASE("finding, changing and removing from many threads") {
    ServiceHouse house;
    for (int i = 0; i < 8; ++i) {
        REQUIRE(house.add_open("t" + std::to_string(i), {{"rate_limit", 1'000'000'000}}));
    }
    REQUIRE(house.tenants.start());
    std::atomic<int> wrong{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < 200; ++i) {
                    const auto asked = house.ask("t" + std::to_string((t + i) % 8), "hello " + std::to_string(i % 5));
                    if (!asked.outcome && asked.code() != Code::unauthorized) {
                        ++wrong;
                        MESSAGE(asked.outcome.error().message);
                    }
                }
            });
        }
        threads.emplace_back([&] {
            for (int i = 0; i < 20; ++i) {
                const auto changed =
                    house.catalog->update_tenant("t1", set("cache_size", i + 1), ServiceHouse::anything, "x");
                wrong += changed && house.tenants.refresh() ? 0 : 1;
            }
            wrong += house.catalog->begin_removal("t2", "x") ? 0 : 1;
        });
    }
    house.tenants.stop();
    CHECK(house.tenants.refresh());
    CHECK(wrong == 0);
    CHECK(house.catalog->row("t2")->status == TenantStatus::removed);
    CHECK(house.totals("t1").requests() == 100);
}
