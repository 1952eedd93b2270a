#pragma once

#include <cstdint>

#include "limit/limits.h"
#include "limit/redis_terms.h"

namespace mt {

/// What Redis said last of ONE tenant's limits, advanced by time and by what this process has done since. Not
/// thread-safe. `boot_ns` is Clock::boot_ns; times of Redis are microseconds since 2025-01-01.
class RedisLevel {
  public:
    /// An older answer than the last one says nothing. `own_used` and `own_reserved`: of the budget, by this process.
    void hear(const RedisAnswer& answer, std::int64_t boot_ns, std::int64_t own_used, std::int64_t own_reserved);
    /// Nobody has answered before: nothing is used.
    [[nodiscard]] bool known() const { return m_heard_boot_ns != 0; }

    /// A charge, or a refund below 0, of which Redis is being told.
    void add_requests(std::int64_t boot_ns, std::int64_t cost_us, const RedisTerms& terms);
    void add_tokens(std::int64_t boot_ns, std::int64_t cost_us);
    /// What was used stays used by other settings, up to one capacity.
    void convert(std::int64_t boot_ns, const RedisTerms& from, const RedisTerms& to);

    [[nodiscard]] std::int64_t request_tat_us() const { return m_answer.request_tat_us; }
    [[nodiscard]] std::int64_t token_tat_us() const { return m_answer.token_tat_us; }
    /// How much is used, as the time until nothing is.
    [[nodiscard]] std::int64_t request_backlog_us(std::int64_t boot_ns) const;
    [[nodiscard]] std::int64_t token_backlog_us(std::int64_t boot_ns) const;
    /// Requests that would be admitted.
    [[nodiscard]] std::int64_t requests_left(std::int64_t boot_ns, const RedisTerms& terms) const;

    /// Of the budget's period that `wall` lies in, by all other replicas.
    [[nodiscard]] std::int64_t used_by_others(BudgetPeriod period, WallTime wall) const;
    [[nodiscard]] std::int64_t reserved_by_others() const { return m_others_reserved; }

    /// All but the use of the budget.
    [[nodiscard]] LimitStatus status(std::int64_t boot_ns, const RedisTerms& terms) const;

  private:
    [[nodiscard]] std::int64_t now_us(std::int64_t boot_ns) const;

    RedisAnswer m_answer{};
    std::int64_t m_heard_boot_ns = 0;
    std::int64_t m_others_used = 0;
    std::int64_t m_others_reserved = 0;
};

}  // namespace mt
