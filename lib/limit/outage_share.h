#pragma once

#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "limit/limits.h"
#include "limit/redis_level.h"

namespace mt {

/// What this replica may give out of ONE tenant's limits by itself while Redis is away: limits in this process, over
/// the tenant's LimiterState. Not thread-safe. `clock` must outlive it.
class OutageShare {
  public:
    OutageShare(LimiterState state, const Clock& clock) : m_state(state), m_clock(clock) {}

    /// What this replica knows of the budget.
    struct BudgetView {
        std::int64_t left = 0;      ///< tokens that nobody has used or reserved
        std::int64_t own_used = 0;  ///< by this replica in the period
        std::int64_t own_reserved = 0;
    };

    /// An outage begins: the buckets stand at their share of what `level` leaves; where nothing was ever heard, they go
    /// on from where they stood.
    void begin(const RedisTerms& terms, std::int64_t replicas, const RedisLevel& level, const BudgetView& budget);
    /// Other settings, or another period of the budget: what was used stays used.
    void change(const RedisTerms& terms, const BudgetView& budget);

    /// Admits by the share. Calls at the same time are limited by calls_at_once(), not here.
    [[nodiscard]] Limits& limits() { return *m_limits; }
    [[nodiscard]] const Limits& limits() const { return *m_limits; }
    /// 0: unlimited.
    [[nodiscard]] std::int64_t calls_at_once() const { return m_calls_at_once; }

  private:
    LimitSettings settings(const RedisTerms& terms, const BudgetView& budget);

    LimiterState m_state;
    const Clock& m_clock;
    std::int64_t m_replicas = 1;
    std::int64_t m_calls_at_once = 0;
    std::unique_ptr<Limits> m_limits;
};

}  // namespace mt
