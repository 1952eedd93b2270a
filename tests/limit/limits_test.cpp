#include "limit/limits.h"

#include <doctest/doctest.h>

#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "limit/limit_fixture.h"

using mt::Cost;
using mt::LimitSettings;
using mt::Permit;
using mt::Result;
using mt::test::k_minute_ns;
using mt::test::LimitFixture;

namespace {

constexpr std::int64_t k_second_ns = 1'000'000'000;

LimitSettings tokens_only(std::int64_t tokens_per_minute) {
    return {.rate_limit = 1'000'000, .burst = 1'000'000, .tokens_per_minute = tokens_per_minute, .max_concurrency = 0};
}

// The word of the limit that refused, "" when none did.
std::string refused_by(const Result<Permit>& permit) {
    return permit ? "" : permit.error().reason;
}

std::optional<std::chrono::nanoseconds> retry_after(const Result<Permit>& permit) {
    return permit ? std::nullopt : permit.error().retry_after;
}

// Everything one client could learn or use up.
std::vector<std::int64_t> everything(const LimitFixture& f) {
    const mt::LimitStatus status = f.limits->status();
    return {status.remaining, status.reset_ns, f.limits->in_flight(), f.token_tat_ns.load()};
}

}  // namespace

TEST_CASE("the burst is admitted at once and the next call after exactly retry_after") {
    LimitFixture f({.rate_limit = 7, .burst = 3});
    for (int i = 0; i < 3; ++i) {
        CHECK(f.admit(1));
    }
    const Result<Permit> denied = f.admit(1);
    REQUIRE_FALSE(denied);
    CHECK(denied.error().code == mt::Code::rate_limited);
    CHECK(denied.error().reason == "requests");
    CHECK(denied.error().message == "rate limit of 7 requests per minute reached");
    REQUIRE(denied.error().retry_after);
    f.wait(denied.error().retry_after->count() - 1);
    CHECK_FALSE(f.admit(1));
    f.wait(1);
    CHECK(f.admit(1));
    CHECK_FALSE(f.admit(1));
}

TEST_CASE("the status of a permit is the one right after its admission") {
    LimitFixture f({.rate_limit = 10, .burst = 4});
    const Result<Permit> permit = f.admit(1);
    REQUIRE(permit);
    CHECK(permit->status().burst == 4);
    CHECK(permit->status().window_s == 24);
    CHECK(permit->status().remaining == 3);
    CHECK(permit->status().reset_ns == 6 * k_second_ns);
    f.wait(2 * k_second_ns);
    CHECK(permit->status().reset_ns == 6 * k_second_ns);
    CHECK(f.limits->status().reset_ns == 4 * k_second_ns);
    CHECK(f.limits->status().remaining == 3);
    f.wait(5 * k_second_ns);
    CHECK(f.limits->status().reset_ns == 0);
    CHECK(f.limits->status().remaining == 4);
}

TEST_CASE("a denied call costs nothing, whichever limit refuses") {
    LimitFixture f({.rate_limit = 2, .burst = 2, .tokens_per_minute = 100, .max_concurrency = 1});
    const auto before = everything(f);
    CHECK(refused_by(f.admit(1, 101)) == "tokens");
    CHECK(refused_by(f.admit(3, 1)) == "requests");
    CHECK(everything(f) == before);

    Result<Permit> first = f.admit(1, 90);
    REQUIRE(first);
    const auto after_one = everything(f);
    CHECK(refused_by(f.admit(1, 5)) == "concurrency");
    CHECK(refused_by(f.admit(1, 11)) == "tokens");
    CHECK(everything(f) == after_one);

    *first = Permit();
    REQUIRE(f.admit(1, 5));
    const auto after_two = everything(f);
    CHECK(refused_by(f.admit(1, 1)) == "requests");
    CHECK(everything(f) == after_two);
}

TEST_CASE("what can never succeed carries no retry_after") {
    LimitFixture f({.rate_limit = 5, .burst = 5, .tokens_per_minute = 100, .max_concurrency = 1});
    const Result<Permit> tokens = f.admit(1, 101);
    REQUIRE_FALSE(tokens);
    CHECK(tokens.error().reason == "tokens");
    CHECK_FALSE(tokens.error().retry_after);
    CHECK(tokens.error().message == "a call of up to 101 tokens never fits the limit of 100 tokens per minute");
    const Result<Permit> requests = f.admit(6);
    REQUIRE_FALSE(requests);
    CHECK_FALSE(requests.error().retry_after);

    const Result<Permit> held = f.admit(1, 100);
    REQUIRE(held);
    const Result<Permit> concurrency = f.admit(1);
    REQUIRE_FALSE(concurrency);
    CHECK(concurrency.error().reason == "concurrency");
    CHECK(concurrency.error().message == "limit of 1 calls at the same time reached");
    CHECK_FALSE(concurrency.error().retry_after);
}

TEST_CASE("of two refusing limits the one to wait longest for is named") {
    LimitFixture f({.rate_limit = 60, .burst = 1, .tokens_per_minute = 60});
    REQUIRE(f.admit(1, 60));
    const Result<Permit> much = f.admit(1, 30);
    REQUIRE_FALSE(much);
    CHECK(much.error().reason == "tokens");
    CHECK(much.error().retry_after == std::chrono::seconds{30});
    f.wait(30 * k_second_ns);
    REQUIRE(f.admit(1, 30));
    const Result<Permit> none = f.admit(1, 0);
    REQUIRE_FALSE(none);
    CHECK(none.error().reason == "requests");
}

TEST_CASE("a permit gives back its place once, however it is moved") {
    LimitFixture f({.rate_limit = 100, .burst = 100, .max_concurrency = 2});
    {
        Result<Permit> first = f.admit(1);
        REQUIRE(first);
        Permit moved(std::move(*first));
        CHECK(f.limits->in_flight() == 1);
        Result<Permit> second = f.admit(1);
        REQUIRE(second);
        CHECK(f.limits->in_flight() == 2);
        CHECK_FALSE(f.admit(1));
        moved = std::move(*second);
        CHECK(f.limits->in_flight() == 1);
        Permit& itself = moved;
        moved = std::move(itself);
        CHECK(f.limits->in_flight() == 1);
        moved.settle(Cost{1, 0});
        CHECK(f.limits->in_flight() == 1);
    }
    CHECK(f.limits->in_flight() == 0);
    Permit nothing;
    nothing.settle(Cost{0, 0});
}

TEST_CASE("settling refunds what was not used, once") {
    LimitFixture f(tokens_only(6000));
    Result<Permit> permit = f.admit(1, 5000);
    REQUIRE(permit);
    CHECK_FALSE(f.admit(1, 4000));
    permit->settle(Cost{1, 1000});
    permit->settle(Cost{0, 0});
    CHECK(retry_after(f.admit(1, 5001)) == std::chrono::milliseconds{10});
    CHECK(f.admit(1, 5000));
}

TEST_CASE("settling with no requests gives the request back") {
    LimitFixture f({.rate_limit = 7, .burst = 2});
    Result<Permit> permit = f.admit(1);
    REQUIRE(permit);
    permit->settle(Cost{0, 0});
    CHECK(f.limits->status().remaining == 2);
    CHECK(f.limits->status().reset_ns == 0);
}

TEST_CASE("a permit that is never settled stays charged in full") {
    LimitFixture f(tokens_only(60));
    REQUIRE(f.admit(1, 60));
    CHECK(f.limits->in_flight() == 0);
    CHECK_FALSE(f.admit(1, 1));
}

TEST_CASE("more tokens than reserved are debt, of one capacity at most") {
    LimitFixture f(tokens_only(60));
    Result<Permit> permit = f.admit(1, 10);
    REQUIRE(permit);
    permit->settle(Cost{5, 70});
    CHECK(f.limits->status().remaining == 999'999);
    Result<Permit> denied = f.admit(1, 1);
    REQUIRE_FALSE(denied);
    CHECK(denied.error().retry_after == std::chrono::seconds{11});
    f.wait(11 * k_second_ns - 1);
    CHECK_FALSE(f.admit(1, 1));
    f.wait(1);
    permit = f.admit(1, 1);
    REQUIRE(permit);
    permit->settle(Cost{1, 1'000'000'000});
    CHECK(retry_after(f.admit(1, 1)) == std::chrono::seconds{61});
}

TEST_CASE("regression: what flowed back is not refunded again after an earlier refund moved the line") {
    LimitFixture f(tokens_only(60));
    Result<Permit> first = f.admit(1, 10);
    Result<Permit> second = f.admit(1, 10);
    REQUIRE(first);
    REQUIRE(second);
    first->settle(Cost{1, 0});  // the second one's ten seconds now start at once
    f.wait(10 * k_second_ns);
    REQUIRE(f.admit(1, 60));
    second->settle(Cost{1, 0});
    CHECK_FALSE(f.admit(1, 1));
}

TEST_CASE("calls that end in another order than they came get all of their refunds") {
    LimitFixture f(tokens_only(60));
    std::vector<Permit> permits;
    for (int i = 0; i < 6; ++i) {
        Result<Permit> permit = f.admit(1, 10);
        REQUIRE(permit);
        permits.push_back(std::move(*permit));
    }
    for (const std::size_t i : {4U, 1U, 5U, 0U, 3U, 2U}) {
        permits[i].settle(Cost{1, 0});
    }
    CHECK(f.admit(1, 60));
}

TEST_CASE("reconfiguring keeps what was used and applies at once") {
    LimitFixture f({.rate_limit = 10, .burst = 10});
    for (int i = 0; i < 10; ++i) {
        REQUIRE(f.admit(1));
    }
    f.limits->reconfigure({.rate_limit = 100, .burst = 100});
    CHECK(f.limits->status().remaining == 90);
    CHECK(f.limits->status().reset_ns == 6 * k_second_ns);
    REQUIRE(f.admit(90));
    f.limits->reconfigure({.rate_limit = 10, .burst = 10});
    CHECK(f.limits->status().remaining == 0);
    CHECK(retry_after(f.admit(1)) == std::chrono::seconds{6});
}

TEST_CASE("reconfiguring while calls are in flight keeps their refunds in their own amounts") {
    LimitFixture f(tokens_only(60));
    Result<Permit> first = f.admit(1, 30);
    Result<Permit> second = f.admit(1, 30);
    REQUIRE(first);
    REQUIRE(second);
    f.limits->reconfigure(tokens_only(600));
    CHECK(refused_by(f.admit(1, 541)) == "tokens");
    second->settle(Cost{1, 0});
    first->settle(Cost{1, 20});
    CHECK_FALSE(f.admit(1, 581));
    CHECK(f.admit(1, 580));
}

TEST_CASE("saving the same limits again is no way out of debt") {
    LimitFixture f(tokens_only(60));
    Result<Permit> permit = f.admit(1, 60);
    REQUIRE(permit);
    permit->settle(Cost{1, 100});
    f.limits->reconfigure(tokens_only(60));
    CHECK(retry_after(f.admit(1, 1)) == std::chrono::seconds{41});
}

TEST_CASE("a call admitted without a token limit has nothing to refund under a later one") {
    LimitFixture f(tokens_only(0));
    Result<Permit> before = f.admit(1, 1'000'000);
    REQUIRE(before);
    f.limits->reconfigure(tokens_only(60));
    REQUIRE(f.admit(1, 60));
    before->settle(Cost{1, 0});
    CHECK_FALSE(f.admit(1, 1));
    f.limits->reconfigure(tokens_only(0));
    CHECK(f.admit(1, 1'000'000));
}

TEST_CASE("fewer places than calls in flight refuse until enough have left") {
    LimitFixture f({.rate_limit = 100, .burst = 100, .max_concurrency = 3});
    std::vector<Permit> permits;
    for (int i = 0; i < 3; ++i) {
        Result<Permit> permit = f.admit(1);
        REQUIRE(permit);
        permits.push_back(std::move(*permit));
    }
    f.limits->reconfigure({.rate_limit = 100, .burst = 100, .max_concurrency = 1});
    permits.pop_back();
    permits.pop_back();
    CHECK_FALSE(f.admit(1));
    permits.pop_back();
    CHECK(f.admit(1));
}

TEST_CASE("limits continue on the stored state after a restart") {
    LimitFixture f({.rate_limit = 10, .burst = 10, .tokens_per_minute = 60});
    REQUIRE(f.admit(4, 40));
    f.open({.rate_limit = 10, .burst = 10, .tokens_per_minute = 60});
    CHECK(f.limits->status().remaining == 6);
    CHECK(refused_by(f.admit(1, 21)) == "tokens");
    CHECK(f.admit(1, 20));
}

TEST_CASE("damaged state and jumps of the clock neither lock out nor grant") {
    const LimitSettings settings{.rate_limit = 10, .burst = 10, .tokens_per_minute = 600};
    LimitFixture f(settings);
    for (const std::int64_t damage :
         {std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min(), std::int64_t{-1},
          std::int64_t{1} << 62}) {
        CAPTURE(damage);
        f.request_tat_ns = damage;
        f.token_tat_ns = damage;
        f.open(settings);
        CHECK(f.request_tat_ns.load() <= f.clock.boot_ns() + k_minute_ns);
        CHECK(f.token_tat_ns.load() <= f.clock.boot_ns() + k_minute_ns);
        const bool grants = damage <= 0;
        CHECK(f.limits->status().remaining == (grants ? 10 : 0));

        // The same while the limits live: two capacities at most.
        f.request_tat_ns = damage;
        f.token_tat_ns = damage;
        static_cast<void>(f.admit(1, 10));
        f.wait(2 * k_minute_ns);
        CHECK(f.admit(10, 600));
        CHECK_FALSE(f.admit(1, 0));
        f.wait(5 * k_minute_ns);
    }
    REQUIRE(f.admit(10));
    f.wait(-30 * k_minute_ns);
    const Result<Permit> denied = f.admit(1);
    REQUIRE_FALSE(denied);
    CHECK(denied.error().retry_after <= std::chrono::minutes{2});
    f.wait(denied.error().retry_after->count());
    CHECK(f.admit(1));
}

TEST_CASE("64 threads never pass max_concurrency") {
    constexpr int k_threads = 64;
    constexpr std::int64_t k_places = 7;
    LimitFixture f({.rate_limit = 1'000'000'000, .burst = 1'000'000'000, .max_concurrency = k_places});
    std::atomic<std::int64_t> inside{0};
    std::atomic<std::int64_t> most{0};
    std::atomic<std::int64_t> admitted{0};
    {
        std::vector<std::jthread> threads;
        threads.reserve(k_threads);
        for (int t = 0; t < k_threads; ++t) {
            threads.emplace_back([&] {
                for (int i = 0; i < 2000; ++i) {
                    Result<Permit> permit = f.admit(1);
                    if (permit) {
                        const std::int64_t here = ++inside;
                        std::int64_t seen = most.load();
                        while (here > seen && !most.compare_exchange_weak(seen, here)) {
                        }
                        ++admitted;
                        std::this_thread::yield();
                        permit->settle(Cost{i % 2, 0});
                        --inside;
                    }
                }
            });
        }
    }
    CHECK(most.load() <= k_places);
    CHECK(most.load() > 1);
    CHECK(admitted.load() > 0);
    CHECK(f.limits->in_flight() == 0);
}

TEST_CASE("threads together are admitted exactly the burst") {
    LimitFixture f({.rate_limit = 1, .burst = 1000, .tokens_per_minute = 3000});
    std::atomic<int> admitted{0};
    {
        std::vector<std::jthread> threads;
        threads.reserve(16);
        for (int t = 0; t < 16; ++t) {
            threads.emplace_back([&] {
                for (int i = 0; i < 200; ++i) {
                    admitted += f.admit(1, 3) ? 1 : 0;
                }
            });
        }
    }
    CHECK(admitted.load() == 1000);
    CHECK(f.limits->status().remaining == 0);
}
