#include "limit/redis_level.h"

#include <algorithm>

#include "limit/gcra.h"

namespace mt {
namespace {

constexpr std::int64_t k_minute_us = 60'000'000;

std::int64_t scaled(std::int64_t backlog_us, std::int64_t to, std::int64_t from, std::int64_t capacity_us) {
    return from <= 0 || to <= 0 ? 0 : std::min(gcra::convert(backlog_us, 0, to, from), capacity_us);
}

}  // namespace

void RedisLevel::hear(const RedisAnswer& answer, std::int64_t boot_ns, std::int64_t own_used,
                      std::int64_t own_reserved) {
    if (known() && answer.now_us < m_answer.now_us) {
        return;
    }
    m_answer = answer;
    m_heard_boot_ns = boot_ns;
    m_others_used = std::max<std::int64_t>(0, answer.used - own_used);
    m_others_reserved = std::max<std::int64_t>(0, answer.reserved - own_reserved);
}

void RedisLevel::add_requests(std::int64_t boot_ns, std::int64_t cost_us, const RedisTerms& terms) {
    const std::int64_t backlog = request_backlog_us(boot_ns) + cost_us;
    m_answer.request_tat_us = now_us(boot_ns) + std::clamp<std::int64_t>(backlog, 0, terms.request_capacity_us());
}

void RedisLevel::add_tokens(std::int64_t boot_ns, std::int64_t cost_us) {
    const std::int64_t backlog = token_backlog_us(boot_ns) + cost_us;
    m_answer.token_tat_us = now_us(boot_ns) + std::clamp<std::int64_t>(backlog, 0, 2 * k_minute_us);
}

void RedisLevel::convert(std::int64_t boot_ns, const RedisTerms& from, const RedisTerms& to) {
    const std::int64_t requests =
        scaled(request_backlog_us(boot_ns), to.request_cost_us(1), from.request_cost_us(1), to.request_capacity_us());
    m_answer.request_tat_us = now_us(boot_ns) + requests;
    if (from.token_scale() != to.token_scale()) {
        const std::int64_t tokens = scaled(token_backlog_us(boot_ns), from.settings().tokens_per_minute,
                                           to.settings().tokens_per_minute, k_minute_us);
        m_answer.token_tat_us = now_us(boot_ns) + tokens;
    }
}

std::int64_t RedisLevel::request_backlog_us(std::int64_t boot_ns) const {
    return std::max<std::int64_t>(0, m_answer.request_tat_us - now_us(boot_ns));
}

std::int64_t RedisLevel::token_backlog_us(std::int64_t boot_ns) const {
    return std::max<std::int64_t>(0, m_answer.token_tat_us - now_us(boot_ns));
}

std::int64_t RedisLevel::requests_left(std::int64_t boot_ns, const RedisTerms& terms) const {
    const std::int64_t free = terms.request_capacity_us() - request_backlog_us(boot_ns);
    return std::max<std::int64_t>(0, free) / terms.request_cost_us(1);
}

std::int64_t RedisLevel::used_by_others(BudgetPeriod period, WallTime wall) const {
    const bool over = period_start(period, wall) > period_start(period, redis_wall(m_answer.now_us));
    return known() && !over ? m_others_used : 0;
}

LimitStatus RedisLevel::status(std::int64_t boot_ns, const RedisTerms& terms) const {
    constexpr std::int64_t k_second_ns = 1'000'000'000;
    const LimitSettings& settings = terms.settings();
    const std::int64_t window = gcra::cost_ns(terms.request_burst(), settings.rate_limit);
    LimitStatus status{.burst = terms.request_burst(),
                       .window_s = (window + k_second_ns - 1) / k_second_ns,
                       .remaining = requests_left(boot_ns, terms),
                       .reset_ns = request_backlog_us(boot_ns) * 1000};
    if (settings.tokens_per_minute > 0) {
        status.token_limit = settings.tokens_per_minute;
        status.token_reset_ns = token_backlog_us(boot_ns) * 1000;
        status.tokens_remaining =
            gcra::remaining(status.token_reset_ns, 0, settings.tokens_per_minute, settings.tokens_per_minute);
    }
    status.budget = settings.budget;
    return status;
}

std::int64_t RedisLevel::now_us(std::int64_t boot_ns) const {
    return m_answer.now_us + (boot_ns - m_heard_boot_ns) / 1000;
}

}  // namespace mt
