#include "trace/otlp.h"

#include <fmt/core.h>

#include <cmath>
#include <cstdint>
#include <string_view>
#include <variant>

#include "base/ids.h"
#include "base/json_text.h"

namespace mt {
namespace {

constexpr int k_status_error = 2;  // STATUS_CODE_ERROR of opentelemetry.proto.trace.v1.Status

// JSON has no numbers for what is not finite; protobuf's mapping names them.
std::string number(double value) {
    if (std::isnan(value)) {
        return R"("NaN")";
    }
    if (std::isinf(value)) {
        return value > 0 ? R"("Infinity")" : R"("-Infinity")";
    }
    return fmt::format("{}", value);
}

// An AnyValue.
struct ValueWriter {
    std::string operator()(const std::string& value) const {
        return fmt::format(R"({{"stringValue":{}}})", json_string(value));
    }
    std::string operator()(std::int64_t value) const { return fmt::format(R"({{"intValue":"{}"}})", value); }
    std::string operator()(double value) const { return fmt::format(R"({{"doubleValue":{}}})", number(value)); }
    std::string operator()(bool value) const { return fmt::format(R"({{"boolValue":{}}})", value); }
};

// The inside of an array of KeyValue, one more at each call.
void append_attribute(std::string& out, std::string_view name, const SpanValue& value) {
    out += out.ends_with('[') ? "" : ",";
    out += fmt::format(R"({{"key":{},"value":{}}})", json_string(name), std::visit(ValueWriter{}, value));
}

void append_resource(std::string& out, const TraceSettings& settings) {
    out += R"({"attributes":[)";
    append_attribute(out, "service.name", settings.service_name);
    if (!settings.service_version.empty()) {
        append_attribute(out, "service.version", settings.service_version);
    }
    for (const auto& [name, value] : settings.resource) {
        append_attribute(out, name, value);
    }
    out += "]}";
}

void append_span(std::string& out, const SpanRecord& span) {
    out += fmt::format(R"({{"traceId":"{}","spanId":"{}")", to_hex(span.trace_id), to_hex(span.span_id));
    if (!span.trace_state.empty()) {
        out += R"(,"traceState":)" + json_string(span.trace_state);
    }
    if (span.parent_id != SpanId{}) {
        out += fmt::format(R"(,"parentSpanId":"{}")", to_hex(span.parent_id));
    }
    out += fmt::format(R"(,"name":{},"kind":{},"startTimeUnixNano":"{}","endTimeUnixNano":"{}")",
                       json_string(span.name), static_cast<int>(span.kind), span.start_unix_ns, span.end_unix_ns);
    if (!span.attributes.empty()) {
        out += R"(,"attributes":[)";
        for (const auto& [name, value] : span.attributes) {
            append_attribute(out, name, value);
        }
        out += ']';
    }
    if (span.failed) {
        out += fmt::format(R"(,"status":{{"code":{}}})", k_status_error);
    }
    out += '}';
}

}  // namespace

std::string encode_spans(std::span<const SpanRecord> spans, const TraceSettings& settings) {
    std::string out = R"({"resourceSpans":[{"resource":)";
    append_resource(out, settings);
    out += R"(,"scopeSpans":[{"scope":{"name":"mtagent")";
    if (!settings.service_version.empty()) {
        out += R"(,"version":)" + json_string(settings.service_version);
    }
    out += R"(},"spans":[)";
    for (const SpanRecord& span : spans) {
        out += &span == spans.data() ? "" : ",";
        append_span(out, span);
    }
    out += "]}]}]}";
    return out;
}

}  // namespace mt
