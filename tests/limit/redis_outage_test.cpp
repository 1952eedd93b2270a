// Redis goes, is slow, comes back, or has forgotten everything.

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "limit/redis_house.h"

using namespace mt;
using namespace mt::test;
using namespace std::chrono_literals;
using Moment = std::chrono::steady_clock;

namespace {

bool by_redis(Replica& replica, Limits& limits) {
    const std::int64_t before = replica.limiter->counts().by_redis;
    [[maybe_unused]] const Result<Permit> permit = limits.admit(Cost{0}, Context{});
    return replica.limiter->counts().by_redis > before;
}

auto fast_beat(LimiterOutage mode = LimiterOutage::local_share) {
    return [mode](SharedLimiterOptions& options) {
        options.beat = 50ms;
        options.silence = 1'000ms;
        options.outage = mode;
    };
}

bool all_know(std::int64_t count, const std::vector<Replica*>& replicas) {
    return std::all_of(replicas.begin(), replicas.end(),
                       [&](const Replica* each) { return each->limiter->counts().replicas == count; });
}

bool all_in_outage(const std::vector<Replica*>& replicas) {
    return std::all_of(replicas.begin(), replicas.end(),
                       [](const Replica* each) { return each->limiter->counts().outage; });
}

// Two replicas that say often that they live.
struct TwoReplicas : RedisHouse {
    TwoReplicas() {
        a.limiter->start();
        b.limiter->start();
    }

    Replica a{redis, "a", 0s, fast_beat()};
    Replica b{redis, "b", 0s, fast_beat()};
};

// One that waits for Redis no longer than in production.
struct PromptReplica : RedisHouse {
    Replica a{redis, "a", 0s, [](SharedLimiterOptions& options) { options.budget = 20ms; }};
};

}  // namespace

TEST_CASE_FIXTURE(RedisHouse,
                  "replicas count each other, by Redis alone, and those that are gone no longer" * k_needs_redis) {
    Replica a(redis, "a", 5s, fast_beat());
    Replica b(redis, "b", -5s, fast_beat());
    a.limiter->start();
    CHECK(a.limiter->counts().replicas == 1);
    b.limiter->start();
    CHECK(becomes([&] { return all_know(2, {&a, &b}); }));
    {
        Replica c(redis, "c", 0s, fast_beat());
        c.limiter->start();
        CHECK(becomes([&] { return a.limiter->counts().replicas == 3; }));
    }
    CHECK(becomes([&] { return a.limiter->counts().replicas == 2; }));
    CHECK(redis.ask({"ZADD", "mtagent:replicas", "1", "long-gone"}) == "1");
    CHECK(redis.ask({"FLUSHALL"}) == "OK");
    CHECK(a.limiter->counts().replicas == 2);
    CHECK(becomes([&] { return redis.ask({"ZCARD", "mtagent:replicas"}) == "2"; }));
    CHECK(a.limiter->counts().replicas == 2);
}

TEST_CASE_FIXTURE(TwoReplicas,
                  "an outage begins where Redis stood, by shares, and what they gave out is charged when it is back" *
                      k_needs_redis) {
    REQUIRE(becomes([&] { return all_know(2, {&a, &b}); }));
    const auto first = a.make(per_minute(6, 40));
    const auto second = b.make(per_minute(6, 40));
    CHECK(drain(*first, 15) == 15);
    CHECK(drain(*second, 5) == 5);  // 20 are left, as b knows, but 25 as far as a knows
    redis.kill();
    REQUIRE(becomes([&] { return all_in_outage({&a, &b}); }));
    CHECK(drain(*first) == 12);
    CHECK(drain(*second) == 10);
    const Result<Permit> refused = first->admit(Cost{}, Context{});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::rate_limited);
    CHECK(refused.error().reason == "requests");
    CHECK(a.limiter->counts().by_share == 14);
    CHECK(first->status().remaining == 0);

    redis.start();  // it has forgotten everything
    const auto back = Moment::now();
    REQUIRE(becomes([&] { return by_redis(a, *first) && by_redis(b, *second); }));
    CHECK(Moment::now() - back < 5s);
    a.finish_posts();
    b.finish_posts();
    // 42 were admitted; who came back first may not have known of the 5 that the other one took last.
    CHECK(drain(*first) + drain(*second) <= 5);
    REQUIRE(becomes([&] { return !a.limiter->counts().outage && !b.limiter->counts().outage; }));
}

TEST_CASE_FIXTURE(PromptReplica,
                  "Redis that only stood still goes on with its state; waiting for it takes no longer than the budget" *
                      k_needs_redis) {
    const auto limits = a.make(per_minute(6, 100));
    REQUIRE(becomes([&] { return by_redis(a, *limits); }));
    CHECK(drain(*limits, 30) == 30);
    redis.freeze();
    std::vector<std::chrono::nanoseconds> waits;
    for (int i = 0; i < 40; ++i) {
        const auto start = Moment::now();
        REQUIRE(limits->admit(Cost{}, Context{}));
        waits.emplace_back(Moment::now() - start);
    }
    std::sort(waits.begin(), waits.end());
    CHECK(waits[20] < 5ms);    // it counts as away
    CHECK(waits[39] < 200ms);  // 20 and the machine's other work
    CHECK(a.limiter->counts().by_share == 40);
    redis.thaw();
    REQUIRE(becomes([&] { return by_redis(a, *limits); }));
    a.finish_posts();
    // Those that came too late may be charged twice.
    const std::int64_t rest = drain(*limits);
    CHECK(rest <= 30);
    CHECK(rest >= 20);
}

TEST_CASE_FIXTURE(PromptReplica, "nobody waits for a Redis that is away" * k_needs_redis) {
    LimitSettings settings = per_minute(60'000'000, 1'000'000);
    const auto limits = a.make(settings);
    REQUIRE(becomes([&] { return by_redis(a, *limits); }));
    redis.kill();
    REQUIRE(becomes([&] { return !a.link->status().up || !by_redis(a, *limits); }));
    const auto start = Moment::now();
    CHECK(drain(*limits, 20'000) == 20'000);
    CHECK(Moment::now() - start < 5s);
}

TEST_CASE_FIXTURE(RedisHouse, "bound: a window that holds an outage of a Redis without memory" * k_needs_redis) {
    LimitSettings settings = per_minute(30'000, 300);  // one in 2 ms
    const auto options = [](SharedLimiterOptions& all) {
        all.budget = 20ms;
        all.beat = 50ms;
    };
    Replica a(redis, "a", 0s, options);
    Replica b(redis, "b", 5s, options);
    Replica c(redis, "c", -5s, options);
    std::vector<std::unique_ptr<Limits>> limits;
    for (Replica* replica : {&a, &b, &c}) {
        replica->limiter->start();
        limits.push_back(replica->make(settings));
        REQUIRE(becomes([&] { return by_redis(*replica, *limits.back()); }));
    }
    REQUIRE(becomes([&] { return all_know(3, {&a, &b, &c}); }));
    std::atomic<std::int64_t> admitted{0};
    const auto start = Moment::now();
    std::int64_t in_outage = 0;
    std::chrono::nanoseconds disagreed{};  // some reached Redis, and some did not
    {
        std::vector<std::jthread> threads;
        for (const auto& each : limits) {
            threads.emplace_back([&](const std::stop_token& stop) {
                while (!stop.stop_requested()) {
                    admitted += each->admit(Cost{}, Context{}) ? 1 : 0;
                    std::this_thread::yield();
                }
            });
        }
        REQUIRE(becomes([&] { return admitted > 400; }));
        redis.kill();
        REQUIRE(becomes([&] { return all_in_outage({&a, &b, &c}); }));
        const std::int64_t before = admitted;
        REQUIRE(becomes([&] { return admitted > before + 150; }));
        in_outage = admitted - before;
        const auto returning = Moment::now();
        redis.start();
        REQUIRE(becomes(
            [&] { return !a.limiter->counts().outage && !b.limiter->counts().outage && !c.limiter->counts().outage; }));
        const std::int64_t after = admitted;
        disagreed = Moment::now() - returning;
        REQUIRE(becomes([&] { return admitted > after + 100; }));
    }
    const std::int64_t flowed = std::chrono::nanoseconds{Moment::now() - start}.count() / 2'000'000;
    CHECK(in_outage > 0);
    const std::int64_t flowed_twice = disagreed.count() / 2'000'000;
    CHECK(admitted.load() <= 3 * settings.burst + flowed + flowed_twice);
    // All had just heard from Redis, so that the outage itself began without a burst of its own.
    CHECK(admitted.load() <= 2 * settings.burst + flowed + flowed_twice);
}

TEST_CASE_FIXTURE(TwoReplicas, "a share is the limits divided by the replicas, at least one of each" * k_needs_redis) {
    Replica c(redis, "c", 0s, fast_beat());
    c.limiter->start();
    REQUIRE(becomes([&] { return all_know(3, {&a, &b}); }));
    LimitSettings settings = per_minute(6, 30);
    settings.tokens_per_minute = 300;
    settings.max_concurrency = 7;
    settings.budget = 1'000;
    const auto wide = a.make(settings);
    Result<Permit> held = wide->admit(Cost{1, 100}, Context{});
    REQUIRE(held);
    const auto narrow = b.make(per_minute(6, 2));
    redis.kill();
    REQUIRE(becomes([&] { return all_in_outage({&a, &b}); }));
    CHECK(drain(*narrow) == 1);  // a life of its own in which nobody asked Redis: one of two
    Result<Permit> second = wide->admit(Cost{1, 500, 10}, Context{});
    REQUIRE(second);
    CHECK(second->granted() >= 66);  // a third of the 200 that were left
    CHECK(second->granted() <= 70);
    CHECK(reason_of(wide->admit(Cost{1, 10}, Context{})) == "concurrency");  // two of seven
    held->settle(Cost{1, 100});
    held = Permit();
    CHECK(wide->status().budget_used == 100);
    second->settle(Cost{1, 10});
    second = Permit();
    CHECK(wide->status().budget_used == 110);
    const Result<Permit> large = wide->admit(Cost{1, 150}, Context{});
    REQUIRE_FALSE(large);
    CHECK(large.error().reason == "tokens");
    CHECK(large.error().retry_after);  // it may fit again when Redis is back
}

TEST_CASE_FIXTURE(RedisHouse,
                  "open: everything is admitted and counted; closed: unavailable, never a refusal by a limit" *
                      k_needs_redis) {
    Replica open(redis, "open", 0s, fast_beat(LimiterOutage::open));
    Replica closed(redis, "closed", 0s, fast_beat(LimiterOutage::closed));
    open.limiter->start();
    closed.limiter->start();
    LimitSettings settings = per_minute(6, 3);
    settings.budget = 100;
    settings.max_concurrency = 1;
    const auto first = open.make(settings);
    const auto second = closed.make(settings);
    REQUIRE(becomes([&] { return by_redis(open, *first) && by_redis(closed, *second); }));
    redis.kill();
    REQUIRE(becomes([&] { return all_in_outage({&open, &closed}); }));
    for (int i = 0; i < 20; ++i) {
        Result<Permit> permit = first->admit(Cost{1, 10}, Context{});
        REQUIRE(permit);
        permit->settle(Cost{1, 7});
        const Result<Permit> refused = second->admit(Cost{1, 10}, Context{});
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == Code::unavailable);
        CHECK(refused.error().retry_after);
    }
    CHECK(open.limiter->counts().open == 20);
    CHECK(closed.limiter->counts().closed == 20);
    CHECK(first->status().budget_used == 140);
    redis.start();
    REQUIRE(becomes([&] { return by_redis(open, *first) && by_redis(closed, *second); }));
    open.finish_posts();
    CHECK(reason_of(second->admit(Cost{1, 1}, Context{})) == "budget");  // closed hears of what open counted
    CHECK(second->status().budget_used == 140);
}

TEST_CASE_FIXTURE(RedisHouse,
                  "what replicas used of a budget survives everything: outages, FLUSHALL, and a process of its own" *
                      k_needs_redis) {
    LimitSettings settings = per_minute(60'000, 60'000);
    settings.budget = 1'000;
    settings.budget_period = BudgetPeriod::month;
    Replica a(redis, "a", 5s, fast_beat());
    auto b = std::make_unique<Replica>(redis, "b", -5s, fast_beat());
    const auto use = [](Limits& limits, std::int64_t tokens) {
        Result<Permit> permit = limits.admit(Cost{1, tokens}, Context{});
        REQUIRE(permit);
        permit->settle(Cost{1, tokens});
    };
    const auto used = [](Replica& replica, Limits& limits) {
        replica.finish_posts();
        [[maybe_unused]] const Result<Permit> permit = limits.admit(Cost{0, 0}, Context{});
        return limits.status().budget_used;
    };
    a.limiter->start();
    b->limiter->start();
    const auto first = a.make(settings);
    auto second = b->make(settings);
    use(*first, 100);
    use(*second, 50);
    a.finish_posts();
    CHECK(used(*b, *second) == 150);
    REQUIRE(becomes([&] { return all_know(2, {&a, b.get()}); }));

    CHECK(redis.ask({"FLUSHALL"}) == "OK");
    CHECK(becomes([&] { return used(a, *first) == 150 && used(*b, *second) == 150; }));

    redis.kill();
    REQUIRE(becomes([&] { return all_in_outage({&a, b.get()}); }));
    use(*first, 200);
    use(*second, 20);
    CHECK(first->status().budget_used == 350);
    CHECK(reason_of(first->admit(Cost{1, 300}, Context{})) == "budget");  // its share of 850 was 425
    redis.start();
    CHECK(becomes([&] { return used(a, *first) == 370 && used(*b, *second) == 370; }));

    // Another process on the slot of b, and Redis has forgotten all: nothing is counted twice, or lost.
    const std::int64_t of_b = b->memory.used;
    const std::int64_t start_of_b = b->memory.start;
    second.reset();
    b.reset();
    CHECK(redis.ask({"FLUSHALL"}) == "OK");
    Replica again(redis, "b2", 0s, [](SharedLimiterOptions& options) { options.writer = "writer-b"; });
    again.memory.used = of_b;
    again.memory.start = start_of_b;
    const auto third = again.make(settings);
    CHECK(becomes([&] { return used(again, *third) == 370; }));
    use(*third, 5);
    again.finish_posts();
    CHECK(used(a, *first) == 375);
    CHECK(reason_of(first->admit(Cost{1, 626}, Context{})) == "budget");
    CHECK(first->admit(Cost{1, 625}, Context{}));
}

TEST_CASE_FIXTURE(TwoReplicas, "a call's lease and reservation that Redis forgot, or never heard of, are told again" *
                                   k_needs_redis) {
    LimitSettings settings = per_minute(6, 1'000);
    settings.max_concurrency = 4;
    settings.budget = 100;
    const auto first = a.make(settings);
    const auto second = b.make(settings);
    Result<Permit> by_the_book = first->admit(Cost{1, 30}, Context{});
    REQUIRE(by_the_book);
    REQUIRE(becomes([&] { return a.limiter->counts().replicas == 2; }));
    redis.kill();
    REQUIRE(becomes([&] { return all_in_outage({&a, &b}); }));
    Result<Permit> by_share = first->admit(Cost{1, 20}, Context{});
    REQUIRE(by_share);
    redis.start();
    REQUIRE(becomes([&] {
        return by_redis(b, *second) && redis.ask({"ZCOUNT", "mtagent:{acme}:rl:v1:calls:life1", "(0", "+inf"}) == "2";
    }));
    CHECK(redis.ask({"ZSCORE", "mtagent:{acme}:rl:v1:calls:life1", "reserved"}) == "-50");
    CHECK(reason_of(second->admit(Cost{1, 51}, Context{})) == "budget");
    by_the_book->settle(Cost{1, 30});
    by_share->settle(Cost{1, 20});
    by_the_book = Permit();
    by_share = Permit();
    a.finish_posts();
    Result<Permit> rest = second->admit(Cost{1, 500, 1}, Context{});
    REQUIRE(rest);
    CHECK(rest->granted() == 50);
}
