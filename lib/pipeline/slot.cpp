#include <utility>

#include "pipeline/stages.h"

namespace mt::stages {

// Behind the cache: an answer that is there takes no slot, and identical calls take one together.
Result<void> slot(Call& call, PipelineServices& services, const Next& next) {
    const std::int64_t began_ns = services.clock.boot_ns();
    Result<GatePass> pass = call.tenant->gate->enter(call.context);
    call.queued_ns = services.clock.boot_ns() - began_ns;
    if (!pass) {
        return std::move(pass).error();
    }
    const GatePass held = *std::move(pass);
    return next(call);
}

}  // namespace mt::stages
