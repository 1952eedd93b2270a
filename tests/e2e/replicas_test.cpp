// Three replicas on one Redis and one PostgreSQL are one service.

#include "e2e/replicas.h"

#include <chrono>

#include "e2e/chat.h"
#include "support/lanes.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

constexpr auto k_soon = 1s;  // changes elsewhere are obeyed within it
constexpr auto k_eventually = 10s;

std::string site_toml() {
    return "[server]\naccess_log = false\n" + tenant_toml("free", "") +
           tenant_toml("limited", "rate_limit = 60\nburst = 30\n") +
           tenant_toml("kept-r", "storage_type = \"redis\"\n") + tenant_toml("kept-p", "storage_type = \"postgres\"\n");
}

TEST_CASE("without servers to share" * doctest::skip(can_share())) {
    MESSAGE("SKIPPED: redis-server or PostgreSQL is not installed");
}

TEST_CASE("what is changed at one replica is obeyed by all within a second" * k_needs_both) {
    ReplicaHouse house(site_toml());
    house.start_all();
    const std::string key = house.site().add("acme", {"--plan", "enterprise"});
    const auto status = [&](std::size_t i) { return house.at(i).get("/acme?q=Hello", bearer(key)).status; };
    for (std::size_t i = 0; i < house.count(); ++i) {
        CHECK(status(i) == 200);
    }
    const auto everywhere = [&](const auto& holds) {
        bool all = true;
        for (std::size_t i = 0; i < house.count(); ++i) {
            all = all && holds(i);
        }
        return all;
    };

    const auto name_is = [&](std::size_t i) {
        return house.at(i).get("/acme?q=Hello", bearer(key)).body.starts_with("[New Name]");
    };
    house.site(1).out({"tenant", "config", "acme", "name=New Name"});
    CHECK(time_until([&] { return everywhere(name_is); }, k_soon));

    http::Fields admin = bearer(house.site(2).operator_token());
    admin.emplace_back("Content-Type", "application/json");
    CHECK(house.at(2).send("PATCH", "/admin/tenants/acme", admin, R"({"status":"suspended"})").status == 200);
    CHECK(time_until([&] { return everywhere([&](std::size_t i) { return status(i) == 401; }); }, k_soon));
    house.site().out({"tenant", "resume", "acme"});
    CHECK(time_until([&] { return everywhere([&](std::size_t i) { return status(i) == 200; }); }, k_soon));

    house.site(1).out({"key", "revoke", key_id(key)});
    CHECK(time_until([&] { return everywhere([&](std::size_t i) { return status(i) == 401; }); }, k_soon));
    CHECK(house.site(2).json({"tenant", "history", "acme"}).size() >= 6);
}

TEST_CASE("a flood through all replicas admits what one would" * k_needs_both) {
    constexpr std::int64_t k_burst = 30;
    ReplicaHouse house(site_toml());
    house.start_all();
    const auto before = SteadyClock::now();
    std::int64_t admitted = 0;
    int asked = 0;
    for (; asked < 150; ++asked) {
        const int status = house.at(static_cast<std::size_t>(asked) % 3).get("/limited?q=Hello").status;
        CHECK((status == 200 || status == 429));
        admitted += status == 200 ? 1 : 0;
    }
    const auto elapsed = std::chrono::duration_cast<std::chrono::seconds>(SteadyClock::now() - before).count();
    CHECK(admitted >= k_burst);
    CHECK(admitted <= k_burst + elapsed + 1);

    // The numbers of all of them are one sum, whoever is asked.
    for (std::size_t i = 0; i < house.count(); ++i) {
        CAPTURE(i);
        CHECK(time_until([&] { return house.number(i, "limited", "requests") == asked; }, k_eventually));
        CHECK(house.number(i, "limited", "allowed") == admitted);
    }
    const Json command = house.site(1).json({"stats", "limited"});
    CHECK(command["limited"]["requests"] == asked);
    CHECK(house.site(2).json({"check"})["faults"].empty());
}

TEST_CASE("a conversation goes on at another replica" * k_needs_both) {
    ReplicaHouse house(site_toml(), 2);
    house.start_all();
    for (const std::string tenant : {"kept-r", "kept-p"}) {
        CAPTURE(tenant);
        CHECK(house.at(0).get("/" + tenant + "?q=6*7&session=sums").body.find("42") != std::string::npos);
        const std::string next = house.at(1).get("/" + tenant + "?q=multiply+it+by+2&session=sums").body;
        CHECK_MESSAGE(next.find("84") != std::string::npos, next);
    }
    CHECK(house.redis().ask({"KEYS", "*"}).find("mtagent:{kept-r}:") != std::string::npos);
    CHECK(house.postgres().ask("SELECT count(*) FROM pg_namespace WHERE nspname = 'tenant_kept-p'") == "1");
}

TEST_CASE("a replica that is killed in a flood loses no acknowledged call, and counts none twice" * k_needs_both) {
    ReplicaHouse house(site_toml());
    house.start_all();
    const std::vector<Target> targets{{"free"}, {"limited"}};
    for (int round = 0; round < 3; ++round) {
        std::vector<std::unique_ptr<Lanes>> lanes;
        std::vector<Counts> before;
        for (const Target& target : targets) {
            REQUIRE(time_until(
                [&] {
                    return house.number(0, target.id, "requests") == house.number(1, target.id, "requests") &&
                           house.number(0, target.id, "requests") == house.number(2, target.id, "requests");
                },
                k_eventually));
            before.push_back(counts_of(parse_json(house.at(0).get("/stats").body)[target.id]));
        }
        for (std::size_t i = 0; i < house.count(); ++i) {
            lanes.push_back(std::make_unique<Lanes>(house.at(i).port(), targets));
            lanes.back()->start({{0, 1}, 4, i == 1 ? std::numeric_limits<std::int64_t>::max() : 1500});
        }
        CHECK(time_until([&] { return lanes[1]->replies() > 500; }, k_eventually));
        house.kill(1);
        std::vector<Seen> seen(targets.size());
        for (const auto& one : lanes) {
            const std::vector<Seen> part = one->join();
            for (std::size_t t = 0; t < targets.size(); ++t) {
                for (std::size_t c = 0; c < part[t].counts.size(); ++c) {
                    seen[t].counts[c] += part[t].counts[c];
                }
                seen[t].in_flight += part[t].in_flight;
            }
        }
        house.start(1);
        for (std::size_t t = 0; t < targets.size(); ++t) {
            CAPTURE(targets[t].id);
            // Each replica tells the same once all have written what they counted.
            std::string wrong = "nothing was told";
            const auto agrees = [&] {
                wrong.clear();
                for (std::size_t i = 0; i < house.count() && wrong.empty(); ++i) {
                    const Json numbers = parse_json(house.at(i).get("/stats").body)[targets[t].id];
                    wrong = disagreement(before[t], counts_of(numbers), seen[t].counts, seen[t].in_flight);
                }
                return wrong.empty();
            };
            CHECK_MESSAGE(time_until(agrees, k_eventually), wrong);
        }
    }
    CHECK(house.site().json({"check"})["faults"].empty());
}

TEST_CASE("a removed tenant is gone everywhere, with its data, and its name is free again" * k_needs_both) {
    ReplicaHouse house(site_toml(), 2);
    house.start_all();
    for (const std::string type : {"redis", "postgres"}) {
        CAPTURE(type);
        const std::string key = house.site().add("gone", {"--plan", "enterprise", "--storage-type", type});
        CHECK(house.at(1).get("/gone?q=remember+that+my+code+is+4711&session=s", bearer(key)).status == 200);
        house.site(1).out({"tenant", "remove", "gone", "--confirm", "gone"});
        CHECK(house.at(0).get("/gone?q=Hello", bearer(key)).status == 401);
        CHECK(house.redis().ask({"KEYS", "mtagent:{gone}*"}).empty());
        CHECK(house.postgres().ask("SELECT count(*) FROM pg_namespace WHERE nspname = 'tenant_gone'") == "0");
        const std::string again = house.site().add("gone", {"--plan", "enterprise", "--storage-type", type});
        CHECK(parse_json(house.at(0).get("/gone/sessions", bearer(again)).body)["sessions"].empty());
        house.site(1).out({"tenant", "remove", "gone", "--confirm", "gone"});
    }
}

TEST_CASE("a removed tenant's data is erased in every database that it has had, and nowhere else" * k_needs_both) {
    ReplicaHouse house(site_toml(), 1);
    house.start_all();
    const auto keys_in = [&](const char* database) {
        return house.redis().ask({"-n", database, "KEYS", "mtagent:{mover}*"});
    };
    const std::string key =
        house.site().add("mover", {"--plan", "enterprise", "--storage-type", "redis", "--redis-db", "3"});
    const std::string near = house.site().add("mover-1", {"--plan", "enterprise", "--storage-type", "redis"});
    CHECK(house.at(0).get("/mover?q=Hello&session=s", bearer(key)).status == 200);
    CHECK(house.at(0).get("/mover-1?q=Hello&session=s", bearer(near)).status == 200);
    house.site().out({"tenant", "config", "mover", "redis_db=5"});
    const auto moved = [&] {
        house.at(0).get("/mover?q=Hello&session=s", bearer(key));
        return !keys_in("5").empty();
    };
    CHECK(time_until(moved, k_eventually));
    house.site().out({"tenant", "config", "mover", "redis_db=99"});  // Redis has no such database
    house.site().out({"tenant", "remove", "mover", "--confirm", "mover"});
    CHECK(keys_in("3").empty());
    CHECK(keys_in("5").empty());
    CHECK_FALSE(house.redis().ask({"KEYS", "mtagent:{mover-1}*"}).empty());
}

TEST_CASE("a file of one server is no storage for replicas" * k_needs_both) {
    ReplicaHouse house("[[tenants]]\nid = \"filed\"\nstorage_type = \"sqlite\"\n", 1);
    const Outcome refused = house.site().run({"serve", "--listen", "127.0.0.1:0"});
    CHECK(refused.exit == 78);
    CHECK_MESSAGE(refused.err.find("postgres") != std::string::npos, refused.err);
    house.site().write("tenants.toml", "");
    CHECK(house.site().run({"tenant", "add", "other", "--storage-type", "sqlite"}).exit == 64);
}

TEST_CASE("shards: a new tenant is pinned, and another shard moves nobody" * k_needs_both) {
    const PrivateRedis other;
    ReplicaHouse house(site_toml(), 1);
    Site& site = house.site();
    const std::string one = "[shards]\neast = \"" + house.redis().url() + "\"\n";
    const std::string two = one + "west = \"" + other.url() + "\"\n";
    site.write("tenants.toml", one);
    for (int i = 0; i < 8; ++i) {
        site.add("first-" + std::to_string(i), {"--storage-type", "redis"});
        CHECK(site.json({"tenant", "config", "first-" + std::to_string(i)})["shard"] == "east");
    }
    site.write("tenants.toml", two);
    int in_west = 0;
    for (int i = 0; i < 16; ++i) {
        site.add("second-" + std::to_string(i), {"--storage-type", "redis", "--plan", "enterprise"});
        in_west += site.json({"tenant", "config", "second-" + std::to_string(i)})["shard"] == "west";
    }
    CHECK(in_west > 0);
    CHECK(in_west < 16);
    for (int i = 0; i < 8; ++i) {
        CHECK(site.json({"tenant", "config", "first-" + std::to_string(i)})["shard"] == "east");
    }
    house.start(0);
    const std::string key = site.add("moved", {"--storage-type", "redis", "--plan", "enterprise", "--shard", "west"});
    CHECK(house.at(0).get("/moved?q=Hello&session=s", bearer(key)).status == 200);
    CHECK_FALSE(other.ask({"KEYS", "mtagent:{moved}*"}).empty());
    CHECK(house.redis().ask({"KEYS", "mtagent:{moved}:*:kv*"}).empty());
}

}  // namespace
}  // namespace mt::test
