// Three replicas whose clocks disagree by seconds, on one Redis, flooded: together they are one limiter.

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "limit/redis_house.h"

using namespace mt;
using namespace mt::test;
using namespace std::chrono_literals;

namespace {

constexpr int k_threads = 4;  // of each replica

struct ThreeReplicas {
    explicit ThreeReplicas(const PrivateRedis& redis, const std::function<void(SharedLimiterOptions&)>& change = {})
        : a(redis, "a", 0ms, change), b(redis, "b", 5000ms, change), c(redis, "c", -5000ms, change) {}

    [[nodiscard]] std::vector<Replica*> all() { return {&a, &b, &c}; }
    std::vector<std::unique_ptr<Limits>> make(const LimitSettings& settings) {
        std::vector<std::unique_ptr<Limits>> limits;
        for (Replica* replica : all()) {
            limits.push_back(replica->make(settings));
        }
        return limits;
    }

    Replica a;
    Replica b;
    Replica c;
};

struct Crowd : RedisHouse {
    ThreeReplicas replicas{redis};
};

// Runs `call` on threads of all replicas for some time and returns how long it took, in nanoseconds.
std::int64_t flood(std::vector<std::unique_ptr<Limits>>& limits, std::chrono::milliseconds time,
                   const std::function<void(Limits&, std::mt19937_64&)>& call) {
    const auto start = std::chrono::steady_clock::now();
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < limits.size() * k_threads; ++i) {
            threads.emplace_back([&, i] {
                std::mt19937_64 random(i);
                while (std::chrono::steady_clock::now() - start < time) {
                    call(*limits[i % limits.size()], random);
                }
            });
        }
    }
    return std::chrono::nanoseconds{std::chrono::steady_clock::now() - start}.count();
}

}  // namespace

TEST_CASE_FIXTURE(Crowd, "property: a flood through three replicas with skewed clocks admits what one bucket does" *
                             k_needs_redis) {
    LimitSettings settings = per_minute(60'000, 200);  // one in a millisecond
    auto limits = replicas.make(settings);
    for (auto& each : limits) {
        REQUIRE(each->admit(Cost{0}, Context{}));  // connected
    }
    std::atomic<std::int64_t> admitted{0};
    std::atomic<std::int64_t> refused{0};
    const std::int64_t took = flood(limits, 700ms, [&](Limits& each, std::mt19937_64&) {
        Result<Permit> permit = each.admit(Cost{}, Context{});
        if (permit) {
            permit->settle(Cost{});
        }
        ++(permit ? admitted : refused);
    });
    const std::int64_t most = settings.burst + took / 1'000'000;
    CHECK(admitted <= most);
    CHECK(admitted >= settings.burst + 700 - 20);  // asked all the time until then
    CHECK(refused > 0);
    for (Replica* replica : replicas.all()) {
        CHECK(replica->link->counts().posts == 0);
        CHECK(replica->limiter->counts().by_share == 0);
    }
}

TEST_CASE_FIXTURE(Crowd,
                  "property: tokens, concurrency and budget hold for three replicas together, and everything adds up" *
                      k_needs_redis) {
    LimitSettings settings = per_minute(6'000'000, 1'000'000);
    settings.tokens_per_minute = 600'000;  // 10 in a millisecond
    settings.max_concurrency = 5;
    settings.budget = 605'000;
    auto limits = replicas.make(settings);
    std::atomic<std::int64_t> used{0};
    std::atomic<std::int64_t> running{0};
    std::atomic<std::int64_t> most_running{0};
    const std::int64_t took = flood(limits, 800ms, [&](Limits& each, std::mt19937_64& random) {
        const std::int64_t tokens = 1 + static_cast<std::int64_t>(random() % 20'000);
        const std::int64_t least = 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(tokens));
        Result<Permit> permit = each.admit(Cost{1, tokens, least}, Context{});
        if (!permit) {
            return;
        }
        CHECK(permit->granted() >= least);
        CHECK(permit->granted() <= tokens);
        const std::int64_t now = ++running;
        std::int64_t most = most_running;
        while (now > most && !most_running.compare_exchange_weak(most, now)) {
        }
        std::this_thread::yield();
        const std::int64_t use = random() % 2 == 0 ? permit->granted() : permit->granted() / 2;
        --running;
        used += use;
        if (random() % 4 != 0 || use < permit->granted()) {
            permit->settle(Cost{1, use});
        }
    });
    CHECK(most_running <= settings.max_concurrency);
    CHECK(most_running >= 2);
    CHECK(used <= settings.tokens_per_minute + took / 100'000);
    CHECK(used <= settings.budget);
    CHECK(used > settings.tokens_per_minute / 2);
    for (Replica* replica : replicas.all()) {
        replica->finish_posts();
        CHECK(replica->link->status().failures == 0);
        CHECK(replica->limiter->counts().by_share == 0);
    }
    // Nothing is in flight any more, and every token is counted.
    CHECK(redis.ask({"ZCOUNT", "mtagent:{acme}:rl:v1:calls:life1", "(0", "+inf"}) == "0");
    const std::string reserved = redis.ask({"ZSCORE", "mtagent:{acme}:rl:v1:calls:life1", "reserved"});
    CHECK((reserved.empty() || std::stoll(reserved) == 0));
    std::int64_t counted = 0;
    for (Replica* replica : replicas.all()) {
        counted += replica->memory.used;
    }
    CHECK(counted == used);
    [[maybe_unused]] const Result<Permit> asked = limits[0]->admit(Cost{0, 0}, Context{});
    CHECK(limits[0]->status().budget_used == used);
}

TEST_CASE_FIXTURE(RedisHouse,
                  "calls of a killed replica end by themselves, those of living ones do not" * k_needs_redis) {
    const auto short_leases = [](SharedLimiterOptions& options) {
        options.lease = 600ms;
        options.beat = 50ms;
    };
    Replica living(redis, "living", 0ms, short_leases);
    living.limiter->start();
    LimitSettings settings = per_minute(60'000, 1'000);
    settings.max_concurrency = 2;
    settings.budget = 100;
    const auto limits = living.make(settings);
    Result<Permit> held = limits->admit(Cost{1, 40}, Context{});
    REQUIRE(held);
    Replica killed(redis, "killed", 0ms, short_leases);  // as if: its heart never beats
    const auto theirs = killed.make(settings);
    Result<Permit> lost = theirs->admit(Cost{1, 60}, Context{});
    REQUIRE(lost);
    CHECK(reason_of(limits->admit(Cost{1, 1}, Context{})) == "budget");
    const auto start = std::chrono::steady_clock::now();
    std::optional<Permit> next;
    REQUIRE(becomes([&] {
        Result<Permit> permit = limits->admit(Cost{1, 60}, Context{});
        if (permit) {
            next = *std::move(permit);
        }
        return next.has_value();
    }));
    CHECK(std::chrono::steady_clock::now() - start > 400ms);
    CHECK(std::chrono::steady_clock::now() - start < 5s);
    // The first one lives on after several lengths of a lease.
    REQUIRE(becomes([&] { return std::chrono::steady_clock::now() - start > 2s; }));
    CHECK(reason_of(limits->admit(Cost{1, 0}, Context{})) == "concurrency");
    CHECK(limits->in_flight() == 2);
}
