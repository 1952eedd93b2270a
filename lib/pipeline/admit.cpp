#include <utility>

#include "base/trace.h"
#include "pipeline/stages.h"

namespace mt::stages {
namespace {

// Bound of an answer for which nobody has named one, where tokens are limited.
constexpr std::int64_t k_usual_answer = 1024;
constexpr std::int64_t k_least_answer = 16;

// What the call may use at most. Where tokens are limited every answer gets a bound, which the model is told: the one
// that the client or the model's settings name, or as much of the usual one as the limits leave.
Cost reservation(const TokenBound& bound) {
    if (bound.answer != 0) {
        return {1, bound.prompt + bound.choices * bound.answer};
    }
    return {1, bound.prompt + bound.choices * k_usual_answer, bound.prompt + bound.choices * k_least_answer};
}

// A refusal is never charged, however late it comes; who has used tokens was served, if badly.
bool is_refusal(const Error& error, std::int64_t tokens) {
    const int status = describe(error.code).http_status;
    const bool callers_fault = status >= 400 && status < 499;  // 499: the client left, which is no refusal
    return error.code == Code::feature_required || ((callers_fault || error.code == Code::busy) && tokens == 0);
}

Cost used_by(const Call& call, const Result<void>& outcome) {
    const std::int64_t tokens = call.cache == CacheUse::hit ? 0 : call.answer.usage.total();
    return !outcome && is_refusal(outcome.error(), tokens) ? Cost{0, 0} : Cost{1, tokens};
}

}  // namespace

Result<void> admit(Call& call, PipelineServices& /*services*/, const Next& next) {
    Span span(call.context.trace, SpanKind::internal, "admit");
    Limits& limits = *call.tenant->limits;
    const TokenBound bound = call.tenant->agent->bound(*call.question);
    const bool limited = limits.limits_tokens();
    Result<Permit> permit = limits.admit(limited ? reservation(bound) : Cost{1, 0}, call.context);
    if (!permit) {
        call.limit = limits.status();
        span.fail(permit.error().reason);
        return std::move(permit).error();
    }
    if (limited) {
        call.question->max_tokens = (permit->granted() - bound.prompt) / bound.choices;
    }
    call.limit = permit->status();
    call.permit = *std::move(permit);
    call.tenant->counters->slot().in_flight.fetch_add(1, std::memory_order_relaxed);  // observe takes it back
    Result<void> outcome = next(call);
    const Cost used = used_by(call, outcome);
    call.permit->settle(used);
    if (used.requests == 0) {
        call.limit = limits.status();
    }
    return outcome;
}

}  // namespace mt::stages
