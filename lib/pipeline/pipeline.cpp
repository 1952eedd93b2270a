#include "pipeline/pipeline.h"

#include <array>

#include "pipeline/stages.h"

namespace mt {
namespace {

// The way of a call, down and back once. observe is outermost so that nothing is missed; authentication comes before
// the limiter so that a stranger cannot spend a tenant's quota; validation comes after it so that a stranger learns
// nothing.
constexpr std::array<Stage, 8> k_stages{
    stages::observe,       // counters, log line, spans
    stages::authenticate,  // 401
    stages::validate,      // 400, 413
    stages::authorize,     // 403
    stages::admit,         // 429
    stages::cache,         // X-Cache
    stages::slot,          // 503
    stages::agent,         // the answer
};

}  // namespace

std::span<const Stage> pipeline_stages() {
    return k_stages;
}

Result<void> Next::operator()(Call& call) const {
    if (m_rest.empty()) {
        return {};
    }
    return m_rest.front()(call, m_services, Next(m_rest.subspan(1), m_services));
}

Result<void> run_pipeline(Call& call, PipelineServices& services) {
    return Next(k_stages, services)(call);
}

Result<void> authenticate_only(Call& call, PipelineServices& services) {
    return stages::authenticate(call, services, Next({}, services));
}

}  // namespace mt
