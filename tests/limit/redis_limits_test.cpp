#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "limit/redis_house.h"

using namespace mt;
using namespace mt::test;

TEST_CASE("without redis-server" * doctest::skip(PrivateRedis::is_installed())) {
    MESSAGE("SKIPPED: redis-server is not installed");
}

TEST_CASE_FIXTURE(OneReplica,
                  "a limit of requests alone costs one round trip for a call, and nothing after it" * k_needs_redis) {
    const auto limits = replica.make(per_minute(1, 50));
    for (int i = 0; i < 50; ++i) {
        Result<Permit> permit = limits->admit(Cost{}, Context{});
        REQUIRE(permit);
        CHECK(permit->status().remaining == 49 - i);
        CHECK(permit->status().burst == 50);
        if (i % 2 == 0) {
            permit->settle(Cost{});
        }
    }
    const Result<Permit> refused = limits->admit(Cost{}, Context{});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::rate_limited);
    CHECK(refused.error().reason == "requests");
    REQUIRE(refused.error().retry_after);
    CHECK(*refused.error().retry_after <= std::chrono::seconds{60});
    CHECK(*refused.error().retry_after > std::chrono::seconds{50});
    CHECK_FALSE(limits->admit(Cost{51}, Context{}).error().retry_after);  // without asking
    CHECK(replica.link->counts().runs == 51);
    CHECK(replica.link->counts().posts == 0);
    CHECK(limits->in_flight() == 0);
    CHECK(replica.limiter->counts().by_redis == 51);
    CHECK(replica.limiter->counts().by_share == 0);
}

TEST_CASE_FIXTURE(RedisHouse, "a request given back is there again, once, and for whoever asks" * k_needs_redis) {
    Replica a(redis, "a");
    Replica b(redis, "b");
    const auto first = a.make(per_minute(1, 3));
    const auto second = b.make(per_minute(1, 3));
    std::vector<Permit> permits;
    for (int i = 0; i < 3; ++i) {
        permits.push_back(*first->admit(Cost{}, Context{}));
    }
    CHECK_FALSE(second->admit(Cost{}, Context{}));
    for (Permit& permit : permits) {
        permit.settle(Cost{0, 0});
        permit.settle(Cost{0, 0});
    }
    CHECK(first->status().remaining == 3);
    a.finish_posts();
    CHECK(drain(*second) == 3);
}

TEST_CASE_FIXTURE(OneReplica,
                  "all or nothing: whichever limit refuses, the others are charged nothing" * k_needs_redis) {
    LimitSettings settings = per_minute(1, 4);
    settings.tokens_per_minute = 100;
    settings.max_concurrency = 2;
    settings.budget = 1000;
    const auto limits = replica.make(settings);
    const auto used = [&] {
        const LimitStatus status = limits->status();
        return std::pair{status.remaining, status.tokens_remaining};
    };
    CHECK(reason_of(limits->admit(Cost{5, 1}, Context{})) == "requests");
    CHECK(reason_of(limits->admit(Cost{1, 101}, Context{})) == "tokens");
    Result<Permit> first = limits->admit(Cost{1, 60}, Context{});
    REQUIRE(first);
    CHECK(reason_of(limits->admit(Cost{1, 60}, Context{})) == "tokens");
    CHECK(used().first == 3);
    CHECK(reason_of(limits->admit(Cost{4, 10}, Context{})) == "requests");
    CHECK(used().second >= 40);
    Result<Permit> second = limits->admit(Cost{1, 10}, Context{});
    REQUIRE(second);
    const Result<Permit> crowded = limits->admit(Cost{1, 10}, Context{});
    CHECK(reason_of(crowded) == "concurrency");
    CHECK_FALSE(crowded.error().retry_after);
    CHECK(used().first == 2);
    CHECK(used().second >= 30);
    CHECK(used().second <= 32);
    second = Permit();
    replica.finish_posts();
    CHECK(limits->admit(Cost{1, 10}, Context{}));
    CHECK(limits->in_flight() == 1);
}

TEST_CASE_FIXTURE(OneReplica, "a call that can do with less gets what is left" * k_needs_redis) {
    LimitSettings settings = per_minute(1, 100);
    settings.tokens_per_minute = 60;
    settings.budget = 1000;
    const auto limits = replica.make(settings);
    const Result<Permit> most = limits->admit(Cost{1, 50, 1}, Context{});
    REQUIRE(most);
    CHECK(most->granted() == 50);
    const Result<Permit> rest = limits->admit(Cost{1, 50, 5}, Context{});
    REQUIRE(rest);
    CHECK(rest->granted() >= 10);
    CHECK(rest->granted() <= 12);
    CHECK(reason_of(limits->admit(Cost{1, 50, 5}, Context{})) == "tokens");
    settings.tokens_per_minute = 0;
    settings.budget = 100;
    limits->reconfigure(settings);
    const Result<Permit> of_budget = limits->admit(Cost{1, 500, 5}, Context{});
    REQUIRE(of_budget);
    CHECK(of_budget->granted() == 100 - most->granted() - rest->granted());
    CHECK(reason_of(limits->admit(Cost{1, 500, 5}, Context{})) == "budget");
    CHECK(limits->limits_tokens());
    settings.budget = 0;
    limits->reconfigure(settings);
    CHECK_FALSE(limits->limits_tokens());
    CHECK(limits->admit(Cost{1, 500, 5}, Context{})->granted() == 500);
}

TEST_CASE_FIXTURE(OneReplica,
                  "tokens: less use flows back as far as it has not yet, more is debt of one capacity at most" *
                      k_needs_redis) {
    LimitSettings settings = per_minute(1, 100);
    settings.tokens_per_minute = 600;
    const auto limits = replica.make(settings);
    const auto left = [&] {
        replica.finish_posts();
        Result<Permit> permit = limits->admit(Cost{0, 600, 1}, Context{});
        const std::int64_t granted = permit ? permit->granted() : 0;
        if (permit) {
            permit->settle(Cost{0, 0});
        }
        replica.finish_posts();
        return granted;
    };
    Result<Permit> first = limits->admit(Cost{1, 300}, Context{});
    Result<Permit> second = limits->admit(Cost{1, 250}, Context{});
    REQUIRE(first);
    REQUIRE(second);
    first->settle(Cost{1, 100});
    CHECK(left() >= 250);
    CHECK(left() <= 260);
    second->settle(Cost{1, 0});
    CHECK(left() >= 500);
    CHECK(left() <= 520);
    Result<Permit> third = limits->admit(Cost{1, 10}, Context{});
    third->settle(Cost{1, 1'000'000'000'000});
    CHECK(left() == 0);
    const Result<Permit> refused = limits->admit(Cost{1, 1}, Context{});
    REQUIRE_FALSE(refused);
    CHECK(*refused.error().retry_after > std::chrono::seconds{58});
    CHECK(*refused.error().retry_after < std::chrono::seconds{61});
    CHECK(limits->status().tokens_remaining == 0);
}

TEST_CASE_FIXTURE(OneReplica,
                  "refunds of many reservations never give a time line back more than it holds" * k_needs_redis) {
    LimitSettings settings = per_minute(1, 1'000);
    settings.tokens_per_minute = 6'000'000;  // 100,000 in a second
    const auto limits = replica.make(settings);
    // A takes 200 ms of the line, B the next 200 ms. A is refunded, which moves B's mark; when B's is over by then,
    // nothing is left of it although the mark it was given lies ahead.
    Result<Permit> a = limits->admit(Cost{1, 20'000}, Context{});
    Result<Permit> b = limits->admit(Cost{1, 20'000}, Context{});
    a->settle(Cost{1, 0});
    const auto start = std::chrono::steady_clock::now();
    REQUIRE(becomes([&] { return std::chrono::steady_clock::now() - start > std::chrono::milliseconds{210}; }));
    Result<Permit> all = limits->admit(Cost{1, 6'000'000, 5'900'000}, Context{});
    REQUIRE(all);
    b->settle(Cost{1, 0});
    replica.finish_posts();
    const Result<Permit> more = limits->admit(Cost{1, 10'000}, Context{});  // 100 ms
    const auto passed = std::chrono::steady_clock::now() - start;
    CHECK((!more || passed > std::chrono::milliseconds{300}));
}

TEST_CASE_FIXTURE(OneReplica,
                  "another life of the tenant begins with nothing used, and keys end by themselves" * k_needs_redis) {
    LimitSettings settings = per_minute(1, 2);
    settings.tokens_per_minute = 100;
    settings.max_concurrency = 10;
    settings.budget = 10;
    const auto first = replica.make(settings, "life1");
    REQUIRE(first->admit(Cost{1, 10}, Context{}));
    CHECK(reason_of(first->admit(Cost{1, 1}, Context{})) == "budget");
    SlotMemory fresh;
    const auto second = replica.limiter->make("acme", "life2", settings, fresh.state());
    Result<Permit> permit = second->admit(Cost{2, 10}, Context{});
    REQUIRE(permit);
    permit->settle(Cost{2, 5});
    replica.finish_posts();
    for (const char* limit : {"requests", "tokens", "calls", "budget"}) {
        CAPTURE(limit);
        const std::string key = std::string("mtagent:{acme}:rl:v1:") + limit + ":life2";
        CHECK(redis.ask({"EXISTS", key}) == "1");
        CHECK(std::stoll(redis.ask({"PTTL", key})) > 0);
    }
}

TEST_CASE_FIXTURE(RedisHouse, "other settings: what was used stays used, up to a new capacity, with the next decision" *
                                  k_needs_redis) {
    Replica a(redis, "a");
    Replica b(redis, "b");
    const auto first = a.make(per_minute(1, 10));
    const auto second = b.make(per_minute(1, 10));
    CHECK(drain(*first, 6) == 6);
    LimitSettings faster = per_minute(1, 10);
    faster.rate_limit = 2;
    first->reconfigure(faster);
    CHECK(first->status().remaining == 4);
    CHECK(drain(*first, 1) == 1);
    CHECK(first->status().remaining == 3);
    CHECK(drain(*second, 1) == 1);  // does not know yet
    second->reconfigure(faster);
    CHECK(drain(*second) >= 1);
    CHECK_FALSE(first->admit(Cost{}, Context{}));
    faster.burst = 20;
    first->reconfigure(faster);
    const std::int64_t more = drain(*first);
    CHECK(more >= 9);
    CHECK(more <= 11);
    faster.burst = 2;
    first->reconfigure(faster);
    const Result<Permit> refused = first->admit(Cost{}, Context{});
    REQUIRE_FALSE(refused);
    CHECK(*refused.error().retry_after <= std::chrono::seconds{30});
}

TEST_CASE_FIXTURE(OneReplica,
                  "`burst` requests at once are admitted, and not one more, whatever the rounding" * k_needs_redis) {
    int life = 0;
    for (const std::int64_t rate : {1, 7, 11, 13, 17}) {
        for (const std::int64_t burst : {1, 3, 7, 100}) {
            CAPTURE(rate);
            CAPTURE(burst);
            const auto limits = replica.make(per_minute(rate, burst), "life" + std::to_string(++life));
            CHECK(drain(*limits) == burst);
        }
    }
}

TEST_CASE_FIXTURE(OneReplica, "extreme settings and damaged keys make no error of the scripts, and lock nobody out" *
                                  k_needs_redis) {
    constexpr std::int64_t k_most = std::numeric_limits<std::int64_t>::max();
    int life = 0;
    for (const std::int64_t rate : {std::int64_t{1}, std::int64_t{1'000'000'000}, k_most}) {
        for (const std::int64_t tokens : {std::int64_t{0}, std::int64_t{1}, std::int64_t{1'000'000'000'000}, k_most}) {
            CAPTURE(rate);
            CAPTURE(tokens);
            const LimitSettings settings{.rate_limit = rate,
                                         .burst = rate,
                                         .tokens_per_minute = tokens,
                                         .max_concurrency = tokens,
                                         .budget = tokens,
                                         .budget_period = BudgetPeriod::month};
            SlotMemory memory;
            const auto limits =
                replica.limiter->make("acme", "life" + std::to_string(++life), settings, memory.state());
            Result<Permit> permit = limits->admit(Cost{1, tokens, 1}, Context{});
            REQUIRE_MESSAGE(permit, reason_of(permit));
            permit->settle(Cost{0, tokens / 3});
            Result<Permit> whole = limits->admit(Cost{rate, k_most, 1}, Context{});
            if (whole) {
                whole->settle(Cost{k_most, k_most});
            }
            limits->reconfigure(per_minute(1, 1));
            replica.finish_posts();
        }
    }
    CHECK(replica.limiter->counts().by_share == 0);
    CHECK(replica.link->status().failures == 0);

    const auto limits = replica.make(per_minute(1, 2), "damaged");
    const std::string key = "mtagent:{acme}:rl:v1:requests:damaged";
    for (const char* damage : {"", "x",
                               "9999999999999999000000000000000000000000000000000000000000000000"
                               "60000000",
                               "9999999999999999000000000000000000000000000000000000000000000000"
                               "1",
                               "0000000000000000xyz"}) {
        CAPTURE(damage);
        CHECK(redis.ask({"SET", key, damage}) == "OK");
        const Result<Permit> permit = limits->admit(Cost{}, Context{});
        if (!permit) {
            CHECK(permit.error().reason == "requests");
            REQUIRE(permit.error().retry_after);
            CHECK(*permit.error().retry_after <= std::chrono::seconds{60});
            CHECK(std::stoll(redis.ask({"PTTL", key})) <= 120'001);
        }
    }
    CHECK(replica.limiter->counts().by_share == 0);
}

TEST_CASE_FIXTURE(OneReplica, "SCRIPT FLUSH in the middle changes nothing" * k_needs_redis) {
    LimitSettings settings = per_minute(1, 10);
    settings.budget = 100;
    const auto limits = replica.make(settings);
    for (int i = 0; i < 10; ++i) {
        CHECK(redis.ask({"SCRIPT", "FLUSH"}) == "OK");
        Result<Permit> permit = limits->admit(Cost{1, 10}, Context{});
        REQUIRE(permit);
        permit->settle(Cost{1, 5});
    }
    replica.finish_posts();
    replica.finish_posts();
    const Result<Permit> refused = limits->admit(Cost{1, 10}, Context{});
    CHECK(reason_of(refused) == "requests");
    CHECK(limits->status().budget_used == 50);
    CHECK(replica.limiter->counts().by_share == 0);
}
