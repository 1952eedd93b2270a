#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "base/trace.h"
#include "pipeline/call.h"
#include "stats/call_meters.h"
#include "tenant/manager.h"

namespace mt {

/// What the stages work with. References outlive the pipeline.
struct PipelineServices {
    TenantManager& tenants;
    const Clock& clock;
    Log& log;
    std::atomic<bool> access_log{true};             ///< a log line per call
    std::atomic<std::int64_t> invalid_requests{0};  ///< calls that belong to no tenant's numbers
    Tracer* tracer = nullptr;                       ///< null: nothing is traced
    CallMeters meters{};
};

class Next;

/// A stage refuses by returning an error, or goes on with next(call). It must not throw.
using Stage = Result<void> (*)(Call& call, PipelineServices& services, const Next& next);

/// The rest of the chain behind a stage.
class Next {
  public:
    Next(std::span<const Stage> rest, PipelineServices& services) : m_rest(rest), m_services(services) {}
    Result<void> operator()(Call& call) const;

  private:
    std::span<const Stage> m_rest;
    PipelineServices& m_services;
};

/// The stages in their order, outermost first (pipeline.cpp says why).
std::span<const Stage> pipeline_stages();

/// Sends one call through all stages: down, and back. The call is counted when this returns, before the reply's last
/// byte. Errors: what a stage refused with, and anything of a call that is parked(). Thread-safe for different calls.
Result<void> run_pipeline(Call& call, PipelineServices& services);

/// Is the question one that can be answered: text in UTF-8, not empty, not too long, a usable session. Errors: invalid,
/// too_large.
Result<void> check_question(const Question& question);

/// Authentication alone, for what is neither charged nor counted: fills in tenant and key. Errors: unauthorized.
Result<void> authenticate_only(Call& call, PipelineServices& services);

}  // namespace mt
