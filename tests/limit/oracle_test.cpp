#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "limit/gcra.h"
#include "limit/limit_fixture.h"
#include "limit/limits.h"

using mt::Cost;
using mt::LimitSettings;
using mt::Permit;
using mt::Result;
using mt::test::Int128;
using mt::test::k_minute_ns;
using mt::test::LimitFixture;
using mt::test::WindowBound;
using Random = std::mt19937_64;

namespace {

std::int64_t pick(Random& random, std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
}

struct Config {
    std::int64_t rate;
    std::int64_t burst;
};

Config pick_config(Random& random) {
    return {random() % 2 == 0 ? pick(random, 1, 30) : pick(random, 1, 1'000'000),
            random() % 2 == 0 ? pick(random, 1, 30) : pick(random, 1, 2'000'000)};
}

std::int64_t pick_amount(Random& random, const Config& config) {
    return random() % 4 == 0 ? pick(random, 1, config.burst) : 1;
}

std::int64_t pick_wait(Random& random, const Config& config) {
    const std::int64_t interval = k_minute_ns / config.rate;
    switch (random() % 8) {
        case 0:
            return 0;
        case 1:
            return pick(random, 0, 3);
        case 2:
            return pick(random, 0, interval * std::min<std::int64_t>(config.burst, 100));
        default:
            return pick(random, 0, interval * 2);
    }
}

Int128 units(std::int64_t amount) {
    return Int128{amount} * k_minute_ns;
}

// True when `cost` is the smallest whole number of nanoseconds that is enough: told by multiplication alone.
bool is_cost(std::int64_t cost, std::int64_t amount, std::int64_t rate) {
    return Int128{cost} * rate >= units(amount) && (Int128{cost} - 1) * rate < units(amount);
}

// A leaky bucket in exact rational arithmetic: the level counts amounts in units of 1/60e9, of which `rate` drain each
// nanosecond, so every number is whole. What was used stays used when the limit changes, up to the new capacity.
class ExactBucket {
  public:
    explicit ExactBucket(const Config& config) : m_rate(config.rate), m_burst(config.burst) {}

    void wait(std::int64_t ns) { m_level = std::max<Int128>(0, m_level - Int128{ns} * m_rate); }
    void take(std::int64_t amount) { m_level += units(amount); }
    void reconfigure(const Config& config) {
        m_rate = config.rate;
        m_burst = config.burst;
        m_level = std::min(m_level, units(m_burst));
    }

    [[nodiscard]] Int128 level() const { return m_level; }
    [[nodiscard]] Int128 free() const { return units(m_burst) - m_level; }

  private:
    Int128 m_rate;
    std::int64_t m_burst;
    Int128 m_level = 0;
};

// The pure functions beside the exact bucket. Each cost is rounded up to a nanosecond: `m_error` bounds what these
// roundings can have added to the level since the bucket was last empty.
class PureRun {
  public:
    explicit PureRun(const Config& config) : m_config(config), m_exact(config) {}

    void wait(std::int64_t ns) {
        m_now += ns;
        m_exact.wait(ns);
    }

    bool reconfigure(const Config& config) {
        m_tat = std::min(mt::gcra::convert(m_tat, m_now, m_config.rate, config.rate),
                         m_now + mt::gcra::cost_ns(config.burst, config.rate));
        m_config = config;
        m_exact.reconfigure(config);
        m_error += config.rate;
        return level_agrees();
    }

    bool decide(std::int64_t amount) {
        const std::int64_t before = backlog();
        const auto decision = mt::gcra::decide(m_tat, m_now, amount, m_config.rate, m_config.burst);
        if (decision.allowed) {
            m_tat = decision.tat_ns;
            const bool within = units(amount) < m_exact.free() + m_config.rate;
            m_exact.take(amount);
            m_error += m_config.rate;
            return within && is_cost(backlog() - before, amount, m_config.rate) && fits(backlog()) && level_agrees();
        }
        const std::int64_t cost = mt::gcra::cost_ns(amount, m_config.rate);
        const bool must = units(amount) + m_error + m_config.rate > m_exact.free();
        return must && decision.tat_ns == m_tat && decision.retry_in_ns > 0 &&
               fits(before + cost - decision.retry_in_ns) && !fits(before + cost - decision.retry_in_ns + 1);
    }

  private:
    [[nodiscard]] std::int64_t backlog() const { return std::max<std::int64_t>(0, m_tat - m_now); }

    // x <= ceil(burst * 60e9 / rate) is the same as (x - 1) * rate < burst * 60e9 for a whole x.
    [[nodiscard]] bool fits(std::int64_t ns) const { return (Int128{ns} - 1) * m_config.rate < units(m_config.burst); }

    // An empty bucket has no rounding left in it.
    bool level_agrees() {
        const Int128 level = Int128{backlog()} * m_config.rate;
        const bool agrees = level >= m_exact.level() && level <= m_exact.level() + m_error;
        m_error = backlog() == 0 ? 0 : m_error;
        return agrees;
    }

    Config m_config;
    ExactBucket m_exact;
    std::int64_t m_now = 3'600'000'000'000;
    std::int64_t m_tat = 0;
    Int128 m_error = 0;
};

// The request limit beside two oracles: it never allows what the exact bucket would not, and agrees to the nanosecond
// with a bucket that drains a request each whole interval.
class RequestRun {
  public:
    explicit RequestRun(const Config& config) : m_exact(config), m_fixture(settings(config)) { set(config); }

    void wait(std::int64_t ns) {
        m_fixture.wait(ns);
        m_exact.wait(ns);
        m_level = std::max<std::int64_t>(0, m_level - ns);
    }

    bool reconfigure(const Config& config) {
        const std::int64_t old_interval = m_interval;
        set(config);
        m_fixture.limits->reconfigure(settings(config));
        m_exact.reconfigure(config);
        const Int128 same = (Int128{m_level} * m_interval + old_interval - 1) / old_interval;
        m_level = static_cast<std::int64_t>(std::min<Int128>(same, Int128{m_burst} * m_interval));
        return agrees();
    }

    bool decide(std::int64_t amount) {
        const std::int64_t free = m_burst * m_interval - m_level;
        const std::int64_t cost = amount * m_interval;
        const Result<Permit> permit = m_fixture.admit(amount);
        if (!permit) {
            return permit.error().retry_after == std::chrono::nanoseconds{cost - free} && cost > free && agrees();
        }
        const bool right = cost <= free && units(amount) <= m_exact.free();
        m_exact.take(amount);
        m_level += cost;
        return right && agrees() && permit->status().remaining == (m_burst * m_interval - m_level) / m_interval;
    }

  private:
    static LimitSettings settings(const Config& config) {
        return {.rate_limit = config.rate, .burst = config.burst, .tokens_per_minute = 0, .max_concurrency = 0};
    }
    void set(const Config& config) {
        m_burst = config.burst;
        m_interval = (k_minute_ns + config.rate - 1) / config.rate;
    }
    [[nodiscard]] bool agrees() const {
        return std::max<std::int64_t>(0, m_fixture.request_tat_ns.load() - m_fixture.clock.boot_ns()) == m_level;
    }

    ExactBucket m_exact;
    LimitFixture m_fixture;
    std::int64_t m_burst = 0;
    std::int64_t m_interval = 0;
    std::int64_t m_level = 0;
};

template <class Run>
void run_steps(int steps, std::uint64_t seed) {
    Random random(seed);
    Config config = pick_config(random);
    Run run(config);
    bool agrees = true;
    for (int step = 0; step < steps && agrees; ++step) {
        run.wait(pick_wait(random, config));
        if (random() % 500 == 0) {
            config = pick_config(random);
            agrees = run.reconfigure(config);
        }
        agrees = agrees && run.decide(pick_amount(random, config));
        if (!agrees) {
            FAIL("step ", step, " rate ", config.rate, " burst ", config.burst);
        }
    }
    CHECK(agrees);
}

}  // namespace

TEST_CASE("property: ten million random decisions agree with exact rational arithmetic") {
    run_steps<PureRun>(10'000'000, 11);
}

TEST_CASE("property: the request limit agrees with exact arithmetic over ten million calls and changes") {
    run_steps<RequestRun>(10'000'000, 14);
}

// Calls that reserve more than they use and settle at random later times, in any order. What they really used must
// keep to the bound in every window, as if it had been known from the start; the slack is one rounding.
TEST_CASE("property: refunds never create more than was there") {
    struct Call {
        std::int64_t time;
        std::int64_t used;
    };
    struct Open {
        Permit permit;
        std::size_t call;
    };
    Random random(12);
    for (int round = 0; round < 2000; ++round) {
        const std::int64_t rate = pick(random, 1, 5000);
        LimitFixture f({.rate_limit = 1'000'000, .burst = 1'000'000, .tokens_per_minute = rate});
        std::vector<Call> calls;
        std::vector<Open> open;
        for (int i = 0; i < 300; ++i) {
            f.wait(pick(random, 0, 3) == 0 ? pick(random, 0, k_minute_ns / 3) : 0);
            const std::int64_t reserved = pick(random, 1, std::max<std::int64_t>(1, rate / pick(random, 1, 8)));
            Result<Permit> permit = f.admit(1, reserved);
            if (permit) {
                calls.push_back({f.clock.boot_ns(), pick(random, 0, 2) == 0 ? 0 : pick(random, 0, reserved)});
                open.push_back({std::move(*permit), calls.size() - 1});
            }
            while (!open.empty() && pick(random, 0, 1) == 0) {
                std::swap(open[random() % open.size()], open.back());
                open.back().permit.settle(Cost{1, calls[open.back().call].used});
                open.pop_back();
            }
        }
        WindowBound bound(rate, rate, 1);
        bool within = true;
        for (const Call& call : calls) {
            within = within && bound.add(call.time, call.used);
        }
        CAPTURE(round);
        REQUIRE(within);
    }
}

TEST_CASE("property: settling at once leaves exactly the cost of what was used") {
    Random random(13);
    for (int round = 0; round < 200; ++round) {
        const std::int64_t rate = pick(random, 1, 100'000);
        const LimitSettings settings{.rate_limit = 1, .burst = 1'000'000, .tokens_per_minute = rate};
        LimitFixture settled(settings);
        LimitFixture direct(settings);
        for (int i = 0; i < 200; ++i) {
            const std::int64_t reserved = pick(random, 1, rate);
            const std::int64_t used = pick(random, 0, reserved);
            Result<Permit> permit = settled.admit(1, reserved);
            if (permit) {
                permit->settle(Cost{1, used});
                REQUIRE(direct.admit(1, used));
            }
            const std::int64_t now = direct.clock.boot_ns();
            REQUIRE(std::max(settled.token_tat_ns.load(), now) == std::max(direct.token_tat_ns.load(), now));
            const std::int64_t wait = pick(random, 0, k_minute_ns / 10);
            settled.wait(wait);
            direct.wait(wait);
        }
    }
}
