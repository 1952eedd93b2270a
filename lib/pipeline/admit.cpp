#include <utility>

#include "pipeline/stages.h"

namespace mt::stages {

Result<void> admit(Call& call, PipelineServices& /*services*/, const Next& next) {
    Limits& limits = *call.tenant->limits;
    const Cost cost{1, estimate_tokens(call.tenant->config.system_prompt) + estimate_tokens(call.question->text)};
    Result<Permit> permit = limits.admit(cost, call.context);
    if (!permit) {
        call.limit = limits.status();
        return std::move(permit).error();
    }
    call.limit = permit->status();
    call.permit = *std::move(permit);
    call.tenant->counters->slot().in_flight.fetch_add(1, std::memory_order_relaxed);  // observe takes it back
    Result<void> outcome = next(call);
    const bool refused =
        !outcome && (outcome.error().code == Code::feature_required || outcome.error().code == Code::busy);
    if (refused) {
        call.permit->settle({0, 0});  // a refusal is never charged, however late it comes
        call.limit = limits.status();
    } else if (call.cache == CacheUse::hit) {
        call.permit->settle({1, 0});
    } else {
        call.permit->settle({1, call.answer.usage.tokens_in + call.answer.usage.tokens_out});
    }
    return outcome;
}

}  // namespace mt::stages
