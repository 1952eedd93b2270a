#include "limit/budget_account.h"

#include <algorithm>

namespace mt {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

// Sums of a few such amounts stay in range.
constexpr std::int64_t k_most_used = std::int64_t{1} << 61;
constexpr std::int64_t k_most_of_a_call = std::int64_t{1} << 40;
constexpr std::int64_t k_last_day = 2'932'896;  // 9999-12-31
constexpr days k_longest_wait{366};

std::int64_t longest_ns(BudgetPeriod period) {
    return std::chrono::nanoseconds{days{period == BudgetPeriod::day ? 1 : 31}}.count();
}

std::int64_t of_a_call(std::int64_t tokens) {
    return std::clamp<std::int64_t>(tokens, 0, k_most_of_a_call);
}

}  // namespace

sys_days period_start(BudgetPeriod period, WallTime time) {
    const sys_days day = std::chrono::floor<days>(time);
    if (period == BudgetPeriod::day) {
        return day;
    }
    const std::chrono::year_month_day date{day};
    return sys_days{date.year() / date.month() / 1};
}

sys_days next_period_start(BudgetPeriod period, sys_days day) {
    if (period == BudgetPeriod::day) {
        return day + days{1};
    }
    const std::chrono::year_month_day date{day};
    return sys_days{(date.year() / date.month() + std::chrono::months{1}) / 1};
}

BudgetAccount::BudgetAccount(std::atomic<std::int64_t>& used, std::atomic<std::int64_t>& period_start,
                             const Budget& budget, const Clock& clock)
    : m_used(used), m_period_start(period_start), m_budget(budget), m_clock(clock), m_since_ns(clock.boot_ns()) {}

BudgetAccount::Decision BudgetAccount::decide(std::int64_t boot_ns, std::int64_t amount) {
    if (!limited()) {
        return {};
    }
    const WallTime wall = m_clock.wall();
    renew(boot_ns, wall);
    if (amount > m_budget.tokens) {
        return {.allowed = false, .possible = false};
    }
    const std::int64_t unused = m_budget.tokens - stored_use();
    if (unused <= 0 || amount > unused) {
        return {.allowed = false, .retry_in_ns = until_renewal(boot_ns, wall)};
    }
    const bool held = amount > 0 && amount > unused - m_reserved;
    return {.allowed = !held, .held = held};
}

void BudgetAccount::reserve(std::int64_t amount) {
    m_reserved += of_a_call(amount);
}

void BudgetAccount::settle(std::int64_t boot_ns, std::int64_t reserved, std::int64_t used) {
    m_reserved -= of_a_call(reserved);
    if (limited() && used > 0) {
        renew(boot_ns, m_clock.wall());
        m_used.store(std::min(stored_use() + of_a_call(used), k_most_used), std::memory_order_relaxed);
    }
}

std::int64_t BudgetAccount::used(std::int64_t boot_ns) {
    renew(boot_ns, m_clock.wall());
    return stored_use();
}

std::int64_t BudgetAccount::left(std::int64_t boot_ns) {
    return std::max<std::int64_t>(0, m_budget.tokens - used(boot_ns) - m_reserved);
}

void BudgetAccount::renew(std::int64_t boot_ns, WallTime wall) {
    const sys_days start = period_start(m_budget.period, wall);
    const sys_days stored = stored_start();
    const bool overdue = start < stored && boot_ns - m_since_ns >= longest_ns(m_budget.period);
    if (start <= stored && !overdue) {
        return;
    }
    // The use goes first: killed between the two stores, the next process does both again.
    m_used.store(0, std::memory_order_relaxed);
    m_period_start.store(std::max(start, stored).time_since_epoch().count(), std::memory_order_release);
    m_since_ns = boot_ns;
}

std::int64_t BudgetAccount::until_renewal(std::int64_t boot_ns, WallTime wall) const {
    const sys_days stored = stored_start();
    // Of a clock that is centuries behind the difference would not fit into nanoseconds.
    const std::chrono::milliseconds calendar = next_period_start(m_budget.period, stored) - wall;
    const auto most = std::chrono::milliseconds{k_longest_wait};
    const std::int64_t calendar_ns = std::chrono::nanoseconds{std::min(calendar, most)}.count();
    const bool behind = period_start(m_budget.period, wall) < stored;
    return behind ? std::min(calendar_ns, m_since_ns + longest_ns(m_budget.period) - boot_ns) : calendar_ns;
}

std::int64_t BudgetAccount::stored_use() const {
    return std::clamp<std::int64_t>(m_used.load(std::memory_order_relaxed), 0, k_most_used);
}

sys_days BudgetAccount::stored_start() const {
    return sys_days{days{std::clamp<std::int64_t>(m_period_start.load(std::memory_order_relaxed), 0, k_last_day)}};
}

}  // namespace mt
