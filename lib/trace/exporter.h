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
/// finds it full is dropped and counted, so that no request ever waits. While the collector is away the oldest spans
/// are kept and tried again, and the newest are dropped. Faults are logged when they start and end. Without an endpoint
/// nothing is recorded and there is no thread. Thread-safe.
class TraceExporter final : public Tracer {
  public:
    /// Sends one body (application/json) and returns when it is delivered or given up. Errors: unavailable, timeout,
    /// busy: worth another try, not before retry_after if it names one; anything else: the batch is dropped. The token
    /// fires when the exporter ends: then it returns soon. Called by the exporter's thread alone.
    using Send = std::function<Result<void>(const std::string& body, const std::stop_token& stop)>;

    struct Bounds {
        std::size_t queue = 8192;                         ///< spans, those on their way included
        std::size_t batch = 512;                          ///< spans in one body
        std::chrono::milliseconds delay{1'000};           ///< how long spans wait for others to share a body with
        std::chrono::milliseconds first_retry{1'000};     ///< wait before the second try of a body, then doubled
        std::chrono::milliseconds longest_retry{30'000};  ///< bound of the doubling, and of what a collector asks for
        std::chrono::milliseconds last_try{2'000};        ///< for what is left at the end
    };

    /// `log` and what `send` refers to must outlive the exporter.
    TraceExporter(TraceSettings settings, Send send, Log& log, const Bounds& bounds);
    ~TraceExporter() override;

    /// A ratio is decided by the last 8 bytes of the trace id, as OpenTelemetry's TraceIdRatioBased: the same for every
    /// request of a trace, here and elsewhere (https://opentelemetry.io/docs/specs/otel/trace/sdk/#traceidratiobased).
    bool sample(const TraceId& trace_id, const TraceContext* parent) override;
    void take(std::vector<SpanRecord>&& spans) override;

    /// Sends what waits, each body once, for at most Bounds::last_try, and ends the thread. What it could not deliver,
    /// and what is taken later, is dropped. Idempotent.
    void stop();

    /// Their sum is the number of spans that were taken.
    [[nodiscard]] TraceCounts counts() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt
