#include "base/trace.h"

#include <algorithm>
#include <span>

#include "base/ids.h"

namespace mt {
namespace {

constexpr std::size_t k_parent_size = 55;  // 00-<32>-<16>-<2>
constexpr std::size_t k_longest_state = 512;
constexpr std::size_t k_longest_value = 1024;

int digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;  // capitals are malformed (section 3.2.2)
}

// Fills `out` from twice as many digits; false when one is none.
bool read_hex(std::string_view text, std::span<std::uint8_t> out) {
    for (std::size_t i = 0; i < out.size(); ++i) {
        const int high = digit(text[2 * i]);
        const int low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = static_cast<std::uint8_t>(high * 16 + low);
    }
    return true;
}

template <std::size_t N>
bool is_zero(const std::array<std::uint8_t, N>& id) {
    return std::all_of(id.begin(), id.end(), [](std::uint8_t byte) { return byte == 0; });
}

bool is_usable_state(std::string_view state) {
    return state.size() <= k_longest_state &&
           std::all_of(state.begin(), state.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
}

// Finalizer of SplitMix64 (Steele, Lea and Flood, 2014): a bijection, so that different counts give different ids.
std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9U;
    value = (value ^ (value >> 27U)) * 0x94D049BB133111EBU;
    return value ^ (value >> 31U);
}

}  // namespace

std::optional<TraceContext> parse_traceparent(std::string_view traceparent, std::string_view tracestate) {
    if (traceparent.size() < k_parent_size || traceparent[2] != '-' || traceparent[35] != '-' ||
        traceparent[52] != '-') {
        return std::nullopt;
    }
    std::array<std::uint8_t, 1> version{};
    std::array<std::uint8_t, 1> flags{};
    TraceContext context;
    if (!read_hex(traceparent.substr(0), version) || !read_hex(traceparent.substr(3), context.trace_id) ||
        !read_hex(traceparent.substr(36), context.span_id) || !read_hex(traceparent.substr(53), flags)) {
        return std::nullopt;
    }
    const bool longer = traceparent.size() > k_parent_size;
    const bool known_shape = version[0] == 0 ? !longer : !longer || traceparent[k_parent_size] == '-';
    if (version[0] == 0xFF || !known_shape || is_zero(context.trace_id) || is_zero(context.span_id)) {
        return std::nullopt;
    }
    context.sampled = (flags[0] & 1U) != 0;
    if (is_usable_state(tracestate)) {
        context.state = tracestate;
    }
    return context;
}

std::string format_traceparent(const TraceContext& context) {
    return "00-" + to_hex(context.trace_id) + "-" + to_hex(context.span_id) + (context.sampled ? "-01" : "-00");
}

void Trace::begin(std::string_view request_id, const std::optional<TraceContext>& parent, Tracer* tracer,
                  const Clock& clock) {
    TraceId own{};
    if (request_id.size() != 2 * own.size() || !read_hex(request_id, own) || is_zero(own)) {
        random_bytes(own);
    }
    m_clock = &clock;
    m_tracer = tracer;
    std::for_each(own.begin() + 8, own.end(), [&](std::uint8_t byte) { m_last_id = m_last_id << 8U | byte; });
    m_current = parent ? *parent : TraceContext{};
    m_current.trace_id = parent ? parent->trace_id : own;
    m_recording = tracer != nullptr && tracer->sample(m_current.trace_id, parent ? &*parent : nullptr);
    if (m_recording) {
        m_current.sampled = true;
        m_unix_offset_ns = clock.wall().time_since_epoch().count() * 1'000'000 - clock.boot_ns();
    } else if (!parent) {
        m_current.span_id = next_id();
    }  // else: who takes no part in a trace passes it on as it came (section 3.4)
}

void Trace::finish() {
    if (m_tracer != nullptr && !m_spans.empty()) {
        m_tracer->take(std::move(m_spans));
        m_spans.clear();
    }
}

std::string Trace::id() const {
    return m_clock == nullptr ? std::string{} : to_hex(m_current.trace_id);
}

SpanId Trace::next_id() {
    std::uint64_t value = 0;
    while (value == 0) {
        value = mix(++m_last_id);
    }
    SpanId id{};
    for (std::size_t i = id.size(); i-- > 0; value >>= 8U) {
        id[i] = static_cast<std::uint8_t>(value & 0xFFU);
    }
    return id;
}

Span::Span(Trace* trace, SpanKind kind, std::string_view operation, std::string_view subject)
    : m_trace(trace != nullptr && trace->m_clock != nullptr ? trace : nullptr),
      m_recording(m_trace != nullptr && m_trace->recording()),
      m_client(m_trace != nullptr && kind == SpanKind::client) {
    if (!m_recording && !m_client) {
        return;
    }
    m_started_ns = m_trace->m_clock->boot_ns();
    if (!m_recording) {
        return;
    }
    TraceContext& current = m_trace->m_current;
    m_outer = current.span_id;
    current.span_id = m_trace->next_id();
    m_index = m_trace->m_spans.size();
    SpanRecord& record = m_trace->m_spans.emplace_back();
    record.trace_id = current.trace_id;
    record.span_id = current.span_id;
    record.parent_id = m_outer;
    record.trace_state = current.state;
    record.kind = kind;
    record.name = operation;
    if (!subject.empty()) {
        record.name.append(" ").append(subject);
    }
    record.start_unix_ns = m_started_ns + m_trace->m_unix_offset_ns;
}

Span::~Span() {
    if (!m_recording && !m_client) {
        return;
    }
    const std::int64_t now = m_trace->m_clock->boot_ns();
    if (m_client) {
        m_trace->m_upstream_ns.push_back(now - m_started_ns);
    }
    if (m_recording) {
        m_trace->m_spans[m_index].end_unix_ns = now + m_trace->m_unix_offset_ns;
        m_trace->m_current.span_id = m_outer;
    }
}

void Span::set(std::string_view name, SpanValue value) {
    if (m_recording) {
        if (std::string* text = std::get_if<std::string>(&value); text != nullptr && text->size() > k_longest_value) {
            text->resize(k_longest_value);
        }
        m_trace->m_spans[m_index].attributes.emplace_back(name, std::move(value));
    }
}

void Span::fail(std::string_view type) {
    if (m_recording) {
        m_trace->m_spans[m_index].failed = true;
        set("error.type", std::string(type));
    }
}

}  // namespace mt
