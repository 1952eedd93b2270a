#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "base/trace.h"
#include "trace/settings.h"

namespace mt {

/// What became of spans since the start.
struct TraceCounts {
    std::int64_t exported = 0;
    std::int64_t dropped = 0;  ///< the queue was full, or the collector refused or was away
    std::int64_t queued = 0;   ///< right now
};

/// Samples requests, and sends finished spans to a collector as OTLP/HTTP JSON
/// (https://opentelemetry.io/docs/specs/otlp/#otlphttp) from a thread of its own. Spans wait in a bounded queue; what
/// finds it full is dropped and counted, so that no request ever waits. Faults are logged when they start and end.
/// Thread-safe.
class TraceExporter final : public Tracer {
  public:
    /// Sends one body (application/json) and returns when it is delivered or given up. Errors: unavailable, timeout,
    /// busy: worth another try; anything else: the batch is dropped. The token fires when the exporter ends.
    using Send = std::function<Result<void>(const std::string& body, const std::stop_token& stop)>;

    struct Bounds {
        std::size_t queue = 8192;                   ///< spans
        std::size_t batch = 512;                    ///< spans in one body
        std::chrono::milliseconds delay{1'000};     ///< between the first waiting span and its export
        std::chrono::milliseconds last_try{2'000};  ///< for what is left at the end
    };

    /// `log` must outlive the exporter.
    TraceExporter(TraceSettings settings, Send send, Log& log, const Bounds& bounds);
    ~TraceExporter() override;

    bool sample(const TraceId& trace_id, const TraceContext* parent) override;
    void take(std::vector<SpanRecord>&& spans) override;

    /// Sends what waits, for at most Bounds::last_try, and ends the thread. Idempotent.
    void stop();

    [[nodiscard]] TraceCounts counts() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt
