#include "limit/gcra.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "limit/limit_fixture.h"

using mt::test::Int128;
using mt::test::k_minute_ns;
using Random = std::mt19937_64;

namespace gcra = mt::gcra;

namespace {

constexpr std::int64_t k_now = 3'600'000'000'000;

std::int64_t pick(Random& random, std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

// Small, everyday and huge values alike.
std::int64_t pick_scale(Random& random, std::int64_t largest) {
    const double exponent = std::uniform_real_distribution<double>(0, 1)(random);
    const auto scaled = static_cast<std::int64_t>(std::pow(static_cast<double>(largest), exponent));
    return std::clamp<std::int64_t>(scaled, 1, largest);
}

struct Config {
    std::int64_t rate;
    std::int64_t burst;
    std::int64_t tat;
};

Config pick_config(Random& random) {
    Config config{pick_scale(random, 1'000'000'000'000), pick_scale(random, 1'000'000), 0};
    const std::int64_t capacity = gcra::cost_ns(config.burst, config.rate);
    config.tat = k_now + pick(random, -capacity, 2 * capacity);
    return config;
}

}  // namespace

TEST_CASE("cost is the exact quotient rounded up") {
    CHECK(gcra::cost_ns(1, 10) == 6'000'000'000);
    CHECK(gcra::cost_ns(1, 7) == 8'571'428'572);
    CHECK(gcra::cost_ns(7, 7) == k_minute_ns);  // not seven times the rounded interval
    CHECK(gcra::cost_ns(0, 7) == 0);
    CHECK(gcra::cost_ns(-5, 7) == 0);

    Random random(1);
    for (int i = 0; i < 200'000; ++i) {
        const std::int64_t rate = pick_scale(random, 1'000'000'000'000'000);
        const std::int64_t amount = pick_scale(random, 30'000'000);
        const std::int64_t cost = gcra::cost_ns(amount, rate);
        const Int128 wanted = Int128{amount} * k_minute_ns;
        REQUIRE(Int128{cost} * rate >= wanted);
        REQUIRE((Int128{cost} - 1) * rate < wanted);
    }
}

TEST_CASE("huge amounts saturate instead of overflowing") {
    constexpr std::int64_t k_most = std::numeric_limits<std::int64_t>::max();
    CHECK(gcra::cost_ns(k_most, 1) == std::int64_t{1} << 61);
    const gcra::Decision whole = gcra::decide(0, k_now, k_most, 1, k_most);
    CHECK(whole.allowed);
    CHECK(gcra::remaining(whole.tat_ns, k_now, 1, k_most) == 0);
    const gcra::Decision more = gcra::decide(whole.tat_ns, k_now, 1, 1, k_most);
    CHECK_FALSE(more.allowed);
    CHECK(more.retry_in_ns == k_minute_ns);
    CHECK_FALSE(gcra::decide(0, k_now, k_most, 1, k_most - 1).possible);
    const std::int64_t debt = gcra::owe(whole.tat_ns, k_now, k_most, 1, k_most);
    CHECK(debt == k_now + (std::int64_t{1} << 62));
}

TEST_CASE("an amount above the burst is impossible and one of zero always allowed") {
    const gcra::Decision above = gcra::decide(0, k_now, 11, 10, 10);
    CHECK_FALSE(above.allowed);
    CHECK_FALSE(above.possible);
    // At more than 60e9 a minute two amounts can cost the same nanosecond.
    CHECK_FALSE(gcra::decide(0, k_now, 2, 120'000'000'000, 1).possible);
    CHECK(gcra::remaining(0, k_now, 120'000'000'000, 1) == 1);
    const gcra::Decision nothing = gcra::decide(k_now + 100 * k_minute_ns, k_now, 0, 10, 10);
    CHECK(nothing.allowed);
    CHECK(nothing.tat_ns == k_now + 2 * k_minute_ns);
}

TEST_CASE("property: waiting exactly retry_in is enough and one nanosecond less is not") {
    Random random(2);
    int denied = 0;
    for (int i = 0; i < 300'000; ++i) {
        const Config c = pick_config(random);
        const std::int64_t amount = pick(random, 1, c.burst);
        const gcra::Decision decision = gcra::decide(c.tat, k_now, amount, c.rate, c.burst);
        REQUIRE(decision.possible);
        if (!decision.allowed) {
            ++denied;
            REQUIRE(decision.tat_ns == c.tat);
            const std::int64_t retry = k_now + decision.retry_in_ns;
            REQUIRE(gcra::decide(decision.tat_ns, retry, amount, c.rate, c.burst).allowed);
            REQUIRE_FALSE(gcra::decide(decision.tat_ns, retry - 1, amount, c.rate, c.burst).allowed);
        }
    }
    CHECK(denied > 50'000);
}

TEST_CASE("property: remaining is what decide would allow and one more is not") {
    Random random(3);
    for (int i = 0; i < 300'000; ++i) {
        const Config c = pick_config(random);
        const std::int64_t left = gcra::remaining(c.tat, k_now, c.rate, c.burst);
        REQUIRE(left >= 0);
        REQUIRE(left <= c.burst);
        REQUIRE(gcra::decide(c.tat, k_now, left, c.rate, c.burst).allowed);
        REQUIRE_FALSE(gcra::decide(c.tat, k_now, left + 1, c.rate, c.burst).allowed);
    }
}

TEST_CASE("property: any window admits at most burst + floor(W * rate / 60 s)") {
    Random random(4);
    for (int round = 0; round < 300; ++round) {
        const std::int64_t rate = pick_scale(random, 10'000'000);
        const std::int64_t burst = pick_scale(random, 2 * rate);
        const std::int64_t interval = gcra::cost_ns(1, rate);
        mt::test::WindowBound bound(rate, burst);
        std::int64_t now = k_now;
        std::int64_t tat = 0;
        int admitted = 0;
        for (int i = 0; i < 3000; ++i) {
            const bool pause = pick(random, 0, 499) == 0;
            now += pause ? pick(random, 0, gcra::cost_ns(burst, rate)) : pick(random, 0, interval);
            const gcra::Decision decision = gcra::decide(tat, now, 1, rate, burst);
            if (decision.allowed) {
                ++admitted;
                tat = decision.tat_ns;
                REQUIRE(bound.add(now, 1));
            }
        }
        REQUIRE(admitted > 0);
    }
}

TEST_CASE("property: a client spaced at the interval is never denied") {
    Random random(5);
    for (int round = 0; round < 300; ++round) {
        const std::int64_t rate = pick_scale(random, 1'000'000'000);
        const std::int64_t burst = pick_scale(random, 100);
        std::int64_t now = k_now;
        std::int64_t tat = 0;
        for (int i = 0; i < 3000; ++i) {
            const gcra::Decision decision = gcra::decide(tat, now, 1, rate, burst);
            REQUIRE(decision.allowed);
            tat = decision.tat_ns;
            now += gcra::cost_ns(1, rate);
        }
    }
}

TEST_CASE("property: a refund restores what was there before and never goes behind now") {
    Random random(6);
    for (int i = 0; i < 200'000; ++i) {
        const Config c = pick_config(random);
        const std::int64_t amount = pick(random, 1, c.burst);
        const gcra::Decision decision = gcra::decide(c.tat, k_now, amount, c.rate, c.burst);
        if (!decision.allowed) {
            continue;
        }
        const std::int64_t before = std::max(c.tat, k_now);
        REQUIRE(gcra::refund(decision.tat_ns, k_now, amount, 0, c.rate) == before);
        const std::int64_t used = pick(random, 0, amount);
        const std::int64_t settled = gcra::refund(decision.tat_ns, k_now, amount, used, c.rate);
        REQUIRE(settled == before + gcra::cost_ns(used, c.rate));
        const std::int64_t later = k_now + pick(random, 0, decision.tat_ns - k_now);
        REQUIRE(gcra::refund(decision.tat_ns, later, amount, 0, c.rate) >= later);
        REQUIRE(gcra::refund(decision.tat_ns, decision.tat_ns + 5, amount, 0, c.rate) == decision.tat_ns);
        REQUIRE(gcra::refund(decision.tat_ns, k_now, amount, amount + 3, c.rate) == decision.tat_ns);
    }
}

TEST_CASE("debt is at most one capacity and delays by what is owed") {
    const std::int64_t full = gcra::decide(0, k_now, 60, 60, 60).tat_ns;
    const std::int64_t owing = gcra::owe(full, k_now, 10, 60, 60);
    CHECK(gcra::remaining(owing, k_now, 60, 60) == 0);
    CHECK(gcra::decide(owing, k_now, 1, 60, 60).retry_in_ns == 11'000'000'000);
    CHECK(gcra::owe(full, k_now, 1'000'000, 60, 60) == k_now + 2 * k_minute_ns);
    CHECK(gcra::owe(0, k_now, 1, 60, 60) == k_now + 1'000'000'000);
    CHECK(gcra::owe(full, k_now, 0, 60, 60) == full);
}

TEST_CASE("conversion to another rate keeps the used amount") {
    const std::int64_t used_30_of_60 = k_now + k_minute_ns / 2;
    CHECK(gcra::convert(used_30_of_60, k_now, 60, 600) == k_now + 3'000'000'000);
    CHECK(gcra::convert(used_30_of_60, k_now, 60, 6) == k_now + 5 * k_minute_ns);
    CHECK(gcra::convert(k_now + 1, k_now, 1, 3) == k_now + 1);
    CHECK(gcra::convert(k_now - 7, k_now, 1, 3) == k_now - 7);
    CHECK(gcra::convert(std::numeric_limits<std::int64_t>::max(), k_now, 1'000'000, 1) ==
          k_now + (std::int64_t{1} << 61));
}
