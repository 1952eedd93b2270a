#include "limit/outage_share.h"

#include <algorithm>

#include "limit/bucket.h"

namespace mt {
namespace {

// Rounded down, but nobody is left with nothing of a limit that exists.
std::int64_t part_of(std::int64_t limit, std::int64_t replicas) {
    return limit == 0 ? 0 : std::max<std::int64_t>(1, limit / replicas);
}

}  // namespace

LimitSettings OutageShare::settings(const RedisTerms& terms, const BudgetView& budget) {
    const LimitSettings& whole = terms.settings();
    LimitSettings share = whole;
    share.rate_limit = part_of(whole.rate_limit, m_replicas);
    share.burst = part_of(terms.request_burst(), m_replicas);
    share.tokens_per_minute = part_of(whole.tokens_per_minute, m_replicas);
    m_calls_at_once = part_of(whole.max_concurrency, m_replicas);
    share.max_concurrency = 0;
    if (whole.budget > 0) {
        const std::int64_t left = budget.left > 0 ? part_of(budget.left, m_replicas) : 0;
        share.budget = std::max<std::int64_t>(1, budget.own_used + budget.own_reserved + left);
    }
    return share;
}

void OutageShare::begin(const RedisTerms& terms, std::int64_t replicas, const RedisLevel& level,
                        const BudgetView& budget) {
    m_replicas = std::max<std::int64_t>(1, replicas);
    change(terms, budget);
    if (!level.known()) {
        return;
    }
    const std::int64_t now = m_clock.boot_ns();
    const LimitSettings share = settings(terms, budget);
    const Scale scale = request_scale(share);
    const std::int64_t left = std::min(scale.burst, level.requests_left(now, terms) / m_replicas);
    m_state.request_tat_ns.store(now + (scale.burst - left) * scale.unit, std::memory_order_relaxed);
    if (share.tokens_per_minute > 0) {
        // In time the backlog of a share is that of the whole.
        m_state.token_tat_ns.store(now + level.token_backlog_us(now) * 1000, std::memory_order_relaxed);
    }
}

void OutageShare::change(const RedisTerms& terms, const BudgetView& budget) {
    const LimitSettings share = settings(terms, budget);
    if (m_limits == nullptr) {
        m_limits = make_local_limits(share, m_state, m_clock);
    } else {
        m_limits->reconfigure(share);
    }
}

}  // namespace mt
