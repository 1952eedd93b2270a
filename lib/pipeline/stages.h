#pragma once

#include "pipeline/pipeline.h"

namespace mt::stages {

/// Outermost: measures, and turns the finished call into counters and a log line once, whatever happened.
Result<void> observe(Call& call, PipelineServices& services, const Next& next);
/// Who asks: the tenant must exist and be active, and the key must be one of its own. One answer for every fault.
Result<void> authenticate(Call& call, PipelineServices& services, const Next& next);
/// Is the question one that can be answered: present, not too long, a usable session, a model that this tenant has.
Result<void> validate(Call& call, PipelineServices& services, const Next& next);
/// May this tenant ask at all: the feature basic-chat.
Result<void> authorize(Call& call, PipelineServices& services, const Next& next);
/// All limits at once; the permit lives until the call ends.
Result<void> admit(Call& call, PipelineServices& services, const Next& next);
/// Answers from the cache, and identical questions in flight are computed once.
Result<void> cache(Call& call, PipelineServices& services, const Next& next);
/// Takes an agent slot, or waits for one in the tenant's queue.
Result<void> slot(Call& call, PipelineServices& services, const Next& next);
/// Innermost: the agent.
Result<void> agent(Call& call, PipelineServices& services, const Next& next);

}  // namespace mt::stages
