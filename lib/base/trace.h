#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"

namespace mt {

using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

/// Where a request stands in a distributed trace (W3C Trace Context, https://www.w3.org/TR/trace-context/).
struct TraceContext {
    TraceId trace_id{};
    SpanId span_id{};
    bool sampled = false;
    std::string state{};  ///< tracestate, handed on as it came
};

/// Reads the fields traceparent and tracestate of a request. Nothing when the first is malformed, has an id of zeros or
/// the forbidden version ff; of later versions what this one knows is taken. A state that is no usable text or longer
/// than 512 bytes is dropped.
std::optional<TraceContext> parse_traceparent(std::string_view traceparent, std::string_view tracestate = {});

/// The field traceparent, version 00.
std::string format_traceparent(const TraceContext& context);

/// What a span is to its neighbours; the numbers are OTLP's.
enum class SpanKind { internal = 1, server = 2, client = 3 };

using SpanValue = std::variant<std::string, std::int64_t, double, bool>;

/// One finished piece of work.
struct SpanRecord {
    TraceId trace_id{};
    SpanId span_id{};
    SpanId parent_id{};  ///< zeros: the trace begins here
    std::string trace_state{};
    SpanKind kind = SpanKind::internal;
    std::string name{};
    std::int64_t start_unix_ns = 0;
    std::int64_t end_unix_ns = 0;
    std::vector<std::pair<std::string_view, SpanValue>> attributes{};  ///< names are literals
    bool failed = false;
};

/// Decides what is traced and takes finished spans. Thread-safe, never waits.
class Tracer {
  public:
    Tracer() = default;
    Tracer(const Tracer&) = delete;
    Tracer& operator=(const Tracer&) = delete;
    virtual ~Tracer() = default;

    /// Whether a request is recorded. `parent`: null when no valid traceparent came.
    virtual bool sample(const TraceId& trace_id, const TraceContext* parent) = 0;
    /// The spans of one request, the outermost first.
    virtual void take(std::vector<SpanRecord>&& spans) = 0;
};

/// The trace of ONE request: its place, the spans that are recorded, and how long it waited for upstreams, which is
/// always known. Spans are strictly nested. Used by the thread that works for the request.
class Trace {
  public:
    Trace() = default;
    Trace(const Trace&) = delete;
    Trace& operator=(const Trace&) = delete;
    ~Trace() = default;

    /// Begins it, once. `request_id`: 32 hexadecimal digits, which become the trace id where no `parent` names one.
    /// `tracer` (null: nothing is recorded) and `clock` outlive the trace.
    void begin(std::string_view request_id, const std::optional<TraceContext>& parent, Tracer* tracer,
               const Clock& clock);
    /// Hands the spans to the tracer. All of them have ended.
    void finish();
    /// Forgets the spans.
    void discard() { m_spans.clear(); }

    /// Where calls to others hang: for the field traceparent. Nothing before begin().
    [[nodiscard]] const TraceContext* current() const { return m_clock == nullptr ? nullptr : &m_current; }
    [[nodiscard]] bool recording() const { return m_recording; }
    /// The trace id in hexadecimal, empty before begin().
    [[nodiscard]] std::string id() const;

    /// How long each span of kind client lasted, recorded or not, in nanoseconds.
    [[nodiscard]] const std::vector<std::int64_t>& upstream_ns() const { return m_upstream_ns; }

  private:
    friend class Span;
    SpanId next_id();

    const Clock* m_clock = nullptr;
    Tracer* m_tracer = nullptr;
    TraceContext m_current{};
    bool m_recording = false;
    std::uint64_t m_last_id = 0;
    std::int64_t m_unix_offset_ns = 0;  // wall minus boot clock
    std::vector<SpanRecord> m_spans{};
    std::vector<std::int64_t> m_upstream_ns{};
};

/// A piece of work while it lasts; ends with its life. Costs next to nothing where nothing is recorded. Lives on the
/// stack of the thread that works for the request.
class Span {
  public:
    /// Named `operation`, or "operation subject". `trace` may be null.
    Span(Trace* trace, SpanKind kind, std::string_view operation, std::string_view subject = {});
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;
    ~Span();

    /// Whether attributes go anywhere: ask before making costly ones.
    [[nodiscard]] bool recording() const { return m_recording; }
    /// `name` is a literal (OpenTelemetry semantic conventions). Never a key, a prompt or an answer. Texts, which may
    /// be another server's, are cut to 1 KiB.
    void set(std::string_view name, SpanValue value);
    /// Marks it as failed: `type` is a word from a closed set, kept as error.type.
    void fail(std::string_view type);

  private:
    Trace* m_trace;
    bool m_recording = false;
    bool m_client = false;
    std::size_t m_index = 0;
    SpanId m_outer{};
    std::int64_t m_started_ns = 0;
};

}  // namespace mt
