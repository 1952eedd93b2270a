#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "trace/exporter.h"

namespace mt::app {

/// What carries spans to the collector that the settings name, over a connection of its own that is kept. `clock` must
/// outlive it. Errors: config (the endpoint is no URL).
Result<TraceExporter::Send> make_trace_sender(const TraceSettings& settings, const Clock& clock);

}  // namespace mt::app
