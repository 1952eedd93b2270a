#include "limit/refusal.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace mt {
namespace {

constexpr std::string_view word_of(BudgetPeriod period) {
    return period == BudgetPeriod::day ? "day" : "month";
}

Error refusal(std::string reason, std::string message, std::int64_t retry_in_ns) {
    std::optional<std::chrono::nanoseconds> retry_after;
    if (retry_in_ns > 0) {
        retry_after = std::chrono::nanoseconds{retry_in_ns};
    }
    const Code code = reason == "budget" ? Code::budget_spent : Code::rate_limited;
    return Error{code, std::move(message), std::move(reason), retry_after};
}

Error hopeless(const LimitSettings& settings, const Verdict& verdict, Cost cost) {
    if (!verdict.tokens.possible) {
        return refusal("tokens",
                       fmt::format("a call of up to {} tokens never fits the limit of {} tokens per minute",
                                   cost.tokens, settings.tokens_per_minute),
                       0);
    }
    if (!verdict.requests.possible) {
        return refusal("requests",
                       fmt::format("{} requests at once never fit the burst of {}", cost.requests, settings.burst), 0);
    }
    return refusal("budget",
                   fmt::format("a call of up to {} tokens never fits the budget of {} tokens per {}", cost.tokens,
                               settings.budget, word_of(settings.budget_period)),
                   0);
}

Error by_budget(const LimitSettings& settings, const BudgetAccount::Decision& budget) {
    const std::string_view period = word_of(settings.budget_period);
    return refusal("budget",
                   budget.held ? fmt::format("calls in flight hold the rest of the budget of {} tokens per {}",
                                             settings.budget, period)
                               : fmt::format("the budget of {} tokens per {} is spent, or too little of it is left",
                                             settings.budget, period),
                   budget.retry_in_ns);
}

}  // namespace

Error refuse(const LimitSettings& settings, const Verdict& verdict, Cost cost) {
    if (!verdict.possible()) {
        return hopeless(settings, verdict, cost);
    }
    const std::int64_t requests_ns = verdict.requests.retry_in_ns;
    const std::int64_t tokens_ns = verdict.tokens.retry_in_ns;
    if (!verdict.budget.allowed && verdict.budget.retry_in_ns >= std::max(tokens_ns, requests_ns)) {
        return by_budget(settings, verdict.budget);
    }
    if (tokens_ns > requests_ns) {
        return refusal("tokens", fmt::format("limit of {} tokens per minute reached", settings.tokens_per_minute),
                       tokens_ns);
    }
    return refusal("requests", fmt::format("rate limit of {} requests per minute reached", settings.rate_limit),
                   requests_ns);
}

Error refuse_concurrency(const LimitSettings& settings) {
    return refusal("concurrency", fmt::format("limit of {} calls at the same time reached", settings.max_concurrency),
                   0);
}

}  // namespace mt
