#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "config/budget.h"

namespace mt {

/// The first day (UTC) of the period in which `time` lies. Pure.
std::chrono::sys_days period_start(BudgetPeriod period, WallTime time);
/// The first start of a period after `day`. Pure.
std::chrono::sys_days next_period_start(BudgetPeriod period, std::chrono::sys_days day);

/// The tokens of ONE tenant's budget in the present period: used ones in memory of the caller's, which survives a
/// crash, and those reserved by calls in flight, which die with the process. Not thread-safe: the Limits that own it
/// hold their mutex. Reads the wall clock only while there is a budget. `boot_ns` is Clock::boot_ns.
///
/// A period that starts later than the one counted in begins at zero. A wall clock that goes back behind the start of
/// the counted period goes on counting in it, so that no period is given twice; but no longer than a period's length of
/// boot time, so that a clock that was wrong for a moment locks nobody out for years.
class BudgetAccount {
  public:
    /// `used` and `period_start` (days since 1970-01-01) and `clock` must outlive the account. Damaged values count as
    /// the nearest possible ones.
    BudgetAccount(std::atomic<std::int64_t>& used, std::atomic<std::int64_t>& period_start, const Budget& budget,
                  const Clock& clock);

    /// Whether `amount` more tokens fit.
    struct Decision {
        bool allowed = true;
        bool possible = true;          ///< false: the amount is larger than the whole budget
        bool held = false;             ///< denied: only calls in flight stand in the way
        std::int64_t retry_in_ns = 0;  ///< denied: until the next period; 0 where nobody knows or waiting cannot help
    };
    /// Decides without reserving. Nothing, not even 0 tokens, fits into a spent budget.
    Decision decide(std::int64_t boot_ns, std::int64_t amount);

    void reserve(std::int64_t amount);
    /// Ends a reservation: where there is a budget, `used` tokens count from now on, in the period of this moment.
    void settle(std::int64_t boot_ns, std::int64_t reserved, std::int64_t used);

    /// What was used and reserved stays so.
    void reconfigure(const Budget& budget) { m_budget = budget; }

    [[nodiscard]] const Budget& budget() const { return m_budget; }
    /// Whether there is a budget at all.
    [[nodiscard]] bool limited() const { return m_budget.tokens > 0; }
    /// Tokens used in the present period. Only where there is a budget.
    [[nodiscard]] std::int64_t used(std::int64_t boot_ns);
    /// The largest reservation that fits now, at least 0. Only where there is a budget.
    [[nodiscard]] std::int64_t left(std::int64_t boot_ns);
    /// Tokens that calls in flight hold.
    [[nodiscard]] std::int64_t reserved() const { return m_reserved; }
    /// The first day of the period that was counted in last.
    [[nodiscard]] std::chrono::sys_days period() const { return stored_start(); }

  private:
    void renew(std::int64_t boot_ns, WallTime wall);
    [[nodiscard]] std::int64_t until_renewal(std::int64_t boot_ns, WallTime wall) const;
    [[nodiscard]] std::int64_t stored_use() const;
    [[nodiscard]] std::chrono::sys_days stored_start() const;

    std::atomic<std::int64_t>& m_used;
    std::atomic<std::int64_t>& m_period_start;
    Budget m_budget;
    const Clock& m_clock;
    std::int64_t m_reserved = 0;
    std::int64_t m_since_ns = 0;  // boot time since which this account counts in its period
};

}  // namespace mt
