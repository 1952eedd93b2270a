#include "limit/redis_terms.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "limit/redis_scripts.h"

namespace mt {
namespace {

// NOLINTNEXTLINE(modernize-use-using): __extension__ keeps -Wpedantic quiet in front of a typedef only
__extension__ typedef __int128 Int128;

constexpr std::int64_t k_minute_us = 60'000'000;
constexpr std::int64_t k_longest_us = std::int64_t{1} << 51;
constexpr std::int64_t k_most_tokens = std::int64_t{1} << 52;

std::int64_t cost_us(std::int64_t amount, std::int64_t rate) {
    const Int128 cost = (Int128{std::max<std::int64_t>(amount, 0)} * k_minute_us + rate - 1) / rate;
    return static_cast<std::int64_t>(std::min<Int128>(cost, k_longest_us));
}

LimitSettings bounded(LimitSettings settings) {
    settings.rate_limit = std::max<std::int64_t>(settings.rate_limit, 1);
    settings.tokens_per_minute = std::clamp<std::int64_t>(settings.tokens_per_minute, 0, k_most_tokens);
    settings.max_concurrency = std::clamp<std::int64_t>(settings.max_concurrency, 0, k_most_tokens);
    settings.budget = std::clamp<std::int64_t>(settings.budget, 0, k_most_tokens);
    return settings;
}

gcra::Decision bucket_decision(std::int64_t tat_us, std::int64_t now_us, std::int64_t cost, std::int64_t capacity) {
    const std::int64_t missing = std::max<std::int64_t>(0, tat_us - now_us) + cost - capacity;
    const bool allowed = cost == 0 || missing <= 0;
    return {.allowed = allowed, .possible = true, .tat_ns = 0, .retry_in_ns = allowed ? 0 : missing * 1000};
}

BudgetAccount::Decision budget_decision(const LimitSettings& settings, const RedisAnswer& answer, std::int64_t least) {
    const std::int64_t unused = settings.budget - answer.used;
    if (settings.budget == 0) {
        return {};
    }
    if (unused <= 0 || least > unused) {
        const WallTime wall = redis_wall(answer.now_us);
        const auto next = next_period_start(settings.budget_period, period_start(settings.budget_period, wall));
        const std::chrono::microseconds until =
            next.time_since_epoch() - std::chrono::microseconds{answer.now_us + limit_scripts::k_epoch_us};
        return {.allowed = false, .retry_in_ns = std::chrono::nanoseconds{until}.count()};
    }
    const bool held = least > 0 && least > unused - answer.reserved;
    return {.allowed = !held, .held = held};
}

bool is_list(const redis::Reply& reply, std::size_t least) {
    return reply.kind == redis::Reply::Kind::list && reply.list.size() >= least;
}

}  // namespace

std::vector<std::string> limit_keys(std::string_view tenant, std::string_view uid) {
    std::vector<std::string> keys;
    for (const std::string_view limit : {"requests", "tokens", "calls", "budget"}) {
        keys.push_back(fmt::format("mtagent:{{{}}}:rl:v1:{}:{}", tenant, limit, uid));
    }
    return keys;
}

WallTime redis_wall(std::int64_t redis_us) {
    return WallTime{
        std::chrono::floor<std::chrono::milliseconds>(std::chrono::microseconds{redis_us + limit_scripts::k_epoch_us})};
}

RedisTerms::RedisTerms(std::vector<std::string> keys, const LimitSettings& settings, std::int64_t lease_us)
    : m_keys(std::move(keys)),
      m_settings(bounded(settings)),
      m_unit_us(cost_us(1, m_settings.rate_limit)),
      m_burst(std::clamp<std::int64_t>(settings.burst, 1, k_longest_us / m_unit_us)),
      m_one_request(fmt::format("{}", m_unit_us)),
      m_capacity(fmt::format("{}", m_burst * m_unit_us)),
      m_request_scale(m_one_request),
      m_lease_us(fmt::format("{}", lease_us)) {
    if (m_settings.tokens_per_minute > 0) {
        const double rate = static_cast<double>(m_settings.tokens_per_minute);
        m_token_scale = fmt::format("{:.17g}", static_cast<double>(k_minute_us) / rate);
    }
}

std::int64_t RedisTerms::request_cost_us(std::int64_t requests) const {
    return std::clamp<std::int64_t>(requests, 0, m_burst) * m_unit_us;
}

std::int64_t RedisTerms::token_cost_us(std::int64_t tokens) const {
    return m_settings.tokens_per_minute == 0 ? 0 : cost_us(tokens, m_settings.tokens_per_minute);
}

TokenWish RedisTerms::wish(Cost cost) const {
    TokenWish wish;
    wish.most = std::max<std::int64_t>(cost.tokens, 0);
    wish.least = cost.least_tokens > 0 ? std::min(cost.least_tokens, wish.most) : wish.most;
    for (const std::int64_t limit : {m_settings.tokens_per_minute, m_settings.budget}) {
        if (limit > 0 && wish.least < wish.most) {
            wish.most = std::max(wish.least, std::min(wish.most, limit));
        }
    }
    return wish;
}

Verdict RedisTerms::possible(Cost cost, const TokenWish& wish) const {
    Verdict verdict;
    verdict.requests.possible = cost.requests <= m_burst;
    verdict.tokens.possible = m_settings.tokens_per_minute == 0 || wish.least <= m_settings.tokens_per_minute;
    verdict.budget.possible = m_settings.budget == 0 || wish.least <= m_settings.budget;
    return verdict;
}

redis::Call RedisTerms::admission(Cost cost, const TokenWish& wish, const std::string& lease, const std::string& writer,
                                  const std::string& own_use) const {
    redis::Call call;
    const std::string requests = cost.requests == 1 ? m_one_request : fmt::format("{}", request_cost_us(cost.requests));
    if (plain()) {
        call.script = &limit_scripts::admit_requests();
        call.keys = {m_keys[0]};
        call.arguments = {requests, m_capacity, m_request_scale};
        return call;
    }
    const TokenWish asked = limits_tokens() ? wish : TokenWish{};
    call.script = &limit_scripts::admit_all();
    call.keys = m_keys;
    call.arguments = {requests,
                      m_capacity,
                      m_request_scale,
                      fmt::format("{}", asked.most),
                      fmt::format("{}", asked.least),
                      fmt::format("{}", token_cost_us(asked.most)),
                      fmt::format("{}", token_cost_us(asked.least)),
                      fmt::format("{}", m_settings.tokens_per_minute),
                      m_token_scale,
                      fmt::format("{}", m_settings.max_concurrency),
                      m_lease_us,
                      lease,
                      fmt::format("{}", m_settings.budget),
                      m_settings.budget_period == BudgetPeriod::day ? "d" : "m",
                      writer,
                      own_use};
    return call;
}

Result<RedisAnswer> RedisTerms::read(const redis::Reply& reply, const TokenWish& wish) const {
    RedisAnswer answer;
    const std::vector<redis::Reply>& list = reply.list;
    if (plain() && is_list(reply, 2)) {
        answer.now_us = list[0].integer;
        answer.request_tat_us = list[1].integer;
        answer.token_tat_us = answer.now_us;
        answer.granted = wish.most;
        if (list.size() > 2) {
            answer.verdict = RedisAnswer::Verdict::admitted;
            answer.request_stamp = list[2].text;
        }
        return answer;
    }
    if (!plain() && is_list(reply, 10)) {
        answer.verdict = list[0].integer == 0   ? RedisAnswer::Verdict::admitted
                         : list[0].integer == 1 ? RedisAnswer::Verdict::refused
                                                : RedisAnswer::Verdict::crowded;
        answer.now_us = list[1].integer;
        answer.request_tat_us = list[2].integer;
        answer.request_stamp = list[3].text;
        answer.token_tat_us = list[4].integer;
        answer.token_stamp = list[5].text;
        answer.granted = limits_tokens() ? list[6].integer : wish.most;
        answer.charged_us = list[7].integer;
        answer.used = list[8].integer;
        answer.reserved = list[9].integer;
        return answer;
    }
    return Error{.code = Code::failed, .message = "the limiter's script answered what it never answers"};
}

Error RedisTerms::refusal(const RedisAnswer& answer, Cost cost, const TokenWish& wish) const {
    if (answer.verdict == RedisAnswer::Verdict::crowded) {
        return refuse_concurrency(m_settings);
    }
    Verdict verdict;
    verdict.requests =
        bucket_decision(answer.request_tat_us, answer.now_us, request_cost_us(cost.requests), request_capacity_us());
    verdict.tokens.allowed = true;
    if (m_settings.tokens_per_minute > 0) {
        verdict.tokens = bucket_decision(answer.token_tat_us, answer.now_us, token_cost_us(wish.least), k_minute_us);
    }
    verdict.budget = budget_decision(m_settings, answer, wish.least);
    return refuse(m_settings, verdict, {cost.requests, wish.least});
}

}  // namespace mt
