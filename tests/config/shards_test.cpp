#include "config/shards.h"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <map>

#include "config/config.h"

using mt::Code;
using mt::Config;
using mt::Result;
using mt::Settings;
using mt::ShardConfig;
using mt::Shards;

namespace {

Shards shards_of(int count, const std::string& kind) {
    Shards shards;
    for (int i = 0; i < count; ++i) {
        const std::string name = fmt::format("s{}", i);
        shards.emplace(name, ShardConfig{.name = name, .url = kind + "://h" + std::to_string(i), .kind = kind});
    }
    return shards;
}

Config config_of(const std::string& toml, const mt::Environment& environment = {}) {
    Result<Config> config = mt::parse_config(toml, {}, environment);
    REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
    return *std::move(config);
}

std::string fault_of(const std::string& toml) {
    const Result<Config> config = mt::parse_config(toml, {}, {});
    REQUIRE_FALSE(config);
    CHECK(config.error().code == Code::config);
    return config.error().message;
}

constexpr const char* k_two = R"(
[shards]
east = "postgres://app@db1:5432/mtagent"
west = "postgres://app@db2:5432/mtagent"
[shards.quick]
url_env = "QUICK_URL"
[plans.kept]
storage_type = "postgres"
)";

std::optional<std::string> quick_url(const std::string& name) {
    return name == "QUICK_URL" ? std::optional<std::string>("redis://:secret@cache:6379/2") : std::nullopt;
}

}  // namespace

TEST_CASE("another shard takes its share of the tenants from all, and moves none between the others") {
    const int tenants = 10'000;
    const Shards four = shards_of(4, "redis");
    const Shards five = shards_of(5, "redis");
    std::map<std::string, int> before;
    int moved = 0;
    for (int i = 0; i < tenants; ++i) {
        const std::string id = fmt::format("tenant-{}", i);
        const std::string old_place = mt::choose_shard(four, "redis", id);
        const std::string new_place = mt::choose_shard(five, "redis", id);
        ++before[old_place];
        if (new_place != old_place) {
            CHECK(new_place == "s4");
            ++moved;
        }
    }
    CHECK(before.size() == 4);
    for (const auto& [name, count] : before) {
        CHECK(count > tenants / 4 * 9 / 10);
        CHECK(count < tenants / 4 * 11 / 10);
    }
    CHECK(moved > tenants / 5 * 9 / 10);
    CHECK(moved < tenants / 5 * 11 / 10);
}

TEST_CASE("only shards of the storage type that take new tenants are chosen") {
    Shards shards = shards_of(2, "redis");
    CHECK(mt::choose_shard(shards, "postgres", "a").empty());
    shards.at("s0").new_tenants = false;
    for (const char* id : {"a", "b", "c", "d", "e"}) {
        CHECK(mt::choose_shard(shards, "redis", id) == "s1");
    }
    shards.at("s1").new_tenants = false;
    CHECK(mt::choose_shard(shards, "redis", "a").empty());
}

TEST_CASE("a new tenant's settings name its shard, and a change of storage takes it away or gives one") {
    const Config config = config_of(k_two, quick_url);
    CHECK(config.shards.at("east").kind == "postgres");
    CHECK(config.shards.at("quick").kind == "redis");

    CHECK(config.placed("a", {}).empty());
    const Settings placed = config.placed("a", {{"plan", std::string("kept")}});
    REQUIRE(placed.contains("shard"));
    CHECK(std::get<std::string>(placed.at("shard")) == mt::choose_shard(config.shards, "postgres", "a"));
    const Settings named = config.placed("a", {{"plan", std::string("kept")}, {"shard", std::string("west")}});
    CHECK(std::get<std::string>(named.at("shard")) == "west");

    using Changes = std::map<std::string, std::optional<mt::Value>, std::less<>>;
    const Changes to_redis = config.placed("a", placed, Changes{{"storage_type", std::string("redis")}});
    CHECK(std::get<std::string>(*to_redis.at("shard")) == "quick");
    const Changes to_memory = config.placed("a", placed, Changes{{"storage_type", std::string("memory")}});
    CHECK_FALSE(to_memory.at("shard"));
    const Changes other = config.placed("a", placed, Changes{{"rate_limit", std::int64_t{5}}});
    CHECK_FALSE(other.contains("shard"));
    const Changes by_plan = config.placed("a", placed, Changes{{"plan", std::nullopt}});
    CHECK_FALSE(by_plan.at("shard"));
}

TEST_CASE("a tenant's shard is one that exists, and of its storage type") {
    const Config config = config_of(k_two, quick_url);
    const auto fault = [&](const Settings& own) {
        const Result<void> checked = config.check("a", own);
        return checked ? std::string{} : checked.error().message;
    };
    CHECK(fault({{"storage_type", std::string("postgres")}, {"shard", std::string("est")}}).find("east") !=
          std::string::npos);
    CHECK(fault({{"storage_type", std::string("memory")}, {"shard", std::string("east")}}).find("postgres") !=
          std::string::npos);
    CHECK(fault({{"storage_type", std::string("redis")}, {"shard", std::string("quick")}}).empty());
}

TEST_CASE("faults of [shards] are told") {
    CHECK(fault_of("[shards]\na = 5\n").find("tenants.toml:2") != std::string::npos);
    CHECK(fault_of("[shards]\na = \"http://x\"\n").find("redis:// or postgres://") != std::string::npos);
    const std::string secret = fault_of("[shards]\na = \"redis://u:hidden@x\"\n");
    CHECK(secret.find("no passwords") != std::string::npos);
    CHECK(secret.find("hidden") == std::string::npos);
    CHECK(fault_of("[shards.a]\nnew_tenants = true\n").find("url or url_env") != std::string::npos);
    CHECK(fault_of("[shards.a]\nurl = \"redis://x\"\npasword_env = \"P\"\n").find("password_env") != std::string::npos);
    CHECK(fault_of("[shards]\nredis = \"redis://x\"\n").find("another") != std::string::npos);
    CHECK(fault_of("[server]\nlimiter = \"rediss\"\n").find("local, redis") != std::string::npos);
}

TEST_CASE("addresses come from the environment, and passwords from their own variables or files") {
    const auto environment = [](const std::string& name) -> std::optional<std::string> {
        const std::map<std::string, std::string> all{{"REDIS_URL", "redis:6379"},
                                                     {"REDIS_PASSWORD", "one"},
                                                     {"POSTGRES_URL", "http://db"},
                                                     {"QUICK_URL", "redis://cache"},
                                                     {"QUICK_PASSWORD", "two"}};
        const auto found = all.find(name);
        return found == all.end() ? std::nullopt : std::optional(found->second);
    };
    const Result<mt::ServerAddress> redis = mt::read_server_address("redis", environment);
    REQUIRE(redis);
    CHECK(redis->url == "redis:6379");
    CHECK(redis->password == "one");
    const Result<mt::ServerAddress> postgres = mt::read_server_address("postgres", environment);
    REQUIRE_FALSE(postgres);
    CHECK(postgres.error().code == Code::config);
    CHECK(mt::read_server_address("redis", {})->url.empty());

    ShardConfig shard{.name = "quick", .url_env = "QUICK_URL", .password_env = "QUICK_PASSWORD"};
    CHECK(mt::read_shard_address(shard, environment)->password == "two");
    shard.password_env = "OTHER";
    CHECK(mt::read_shard_address(shard, environment).error().message.find("OTHER") != std::string::npos);
    shard.password_env.clear();
    shard.password_file = "/nonexistent/password";
    CHECK_FALSE(mt::read_shard_address(shard, environment));
}
