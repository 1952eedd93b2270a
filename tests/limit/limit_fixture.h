#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>

#include "limit/limits.h"
#include "support/fake_clock.h"

namespace mt::test {

// NOLINTNEXTLINE(modernize-use-using): __extension__ keeps -Wpedantic quiet in front of a typedef only
__extension__ typedef __int128 Int128;

constexpr std::int64_t k_minute_ns = 60'000'000'000;

/// Limits with the state and the clock they stand on.
struct LimitFixture {
    explicit LimitFixture(const LimitSettings& settings) { open(settings); }

    /// Starts again on the stored state, as after a restart.
    void open(const LimitSettings& settings) {
        limits = make_local_limits(settings,
                                   LimiterState{request_tat_ns, token_tat_ns, budget_used, budget_period_start}, clock);
    }
    Result<Permit> admit(std::int64_t requests, std::int64_t tokens = 0) const {
        return limits->admit(Cost{requests, tokens}, Context{});
    }
    /// The most tokens that an admission grants now. Undone at once.
    [[nodiscard]] std::int64_t room() const {
        constexpr std::int64_t k_most = std::numeric_limits<std::int64_t>::max();
        Result<Permit> permit = limits->admit(Cost{.requests = 0, .tokens = k_most, .least_tokens = 1}, Context{});
        if (!permit) {
            return 0;
        }
        permit->settle(Cost{0, 0});
        return permit->granted();
    }
    void wait(std::int64_t ns) { clock.advance(std::chrono::nanoseconds{ns}); }

    FakeClock clock;
    std::atomic<std::int64_t> request_tat_ns{0};
    std::atomic<std::int64_t> token_tat_ns{0};
    std::atomic<std::int64_t> budget_used{0};
    std::atomic<std::int64_t> budget_period_start{0};
    std::unique_ptr<Limits> limits;
};

/// Checks that any window of W ns holds at most burst + floor(W * rate / 60e9) of what was added, plus what `slack_ns`
/// flows in, in the order of time. With S(i) the sum before the i-th: for all i <= j,
/// S(j + 1) - S(i) - burst <= (t(j) - t(i)) * rate / 60e9. So the smallest S(i) * 60e9 - t(i) * rate decides.
class WindowBound {
  public:
    WindowBound(std::int64_t rate, std::int64_t burst, std::int64_t slack_ns = 0)
        : m_rate(rate), m_burst(burst), m_slack_ns(slack_ns) {}

    bool add(std::int64_t time_ns, std::int64_t amount) {
        const Int128 drained = Int128{time_ns} * m_rate;
        const Int128 start = Int128{m_sum} * k_minute_ns - drained;
        m_least = m_empty ? start : (start < m_least ? start : m_least);
        m_empty = false;
        m_sum += amount;
        const Int128 used = Int128{m_sum - m_burst} * k_minute_ns - drained - m_least;
        return used <= Int128{m_slack_ns} * m_rate;
    }

  private:
    std::int64_t m_rate;
    std::int64_t m_burst;
    std::int64_t m_slack_ns;
    std::int64_t m_sum = 0;
    Int128 m_least = 0;
    bool m_empty = true;
};

}  // namespace mt::test
