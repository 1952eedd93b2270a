#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "agent/http_tool.h"
#include "agent/memory_store.h"
#include "base/trace.h"
#include "support/scripted_upstream.h"

namespace mt::test {

constexpr std::string_view k_parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr std::string_view k_state = "vendor=1,other=2";

/// Keeps the spans of one request.
class Recorder final : public Tracer {
  public:
    bool sample(const TraceId& /*trace_id*/, const TraceContext* /*parent*/) override { return sampling; }
    void take(std::vector<SpanRecord>&& taken) override { spans = std::move(taken); }

    bool sampling = true;
    std::vector<SpanRecord> spans{};
};

/// The trace of one request whose client sent k_parent, and the context that carries it.
struct Traced {
    explicit Traced(const Clock& clock, bool sampling = true, std::string_view state = k_state) {
        recorder.sampling = sampling;
        trace.begin("00112233445566778899aabbccddeeff", parse_traceparent(k_parent, state), &recorder, clock);
        context.tenant = "tenant-basic";
        context.request_id = "request-1";
        context.trace = &trace;
    }

    const std::vector<SpanRecord>& spans() {
        trace.finish();
        return recorder.spans;
    }

    Recorder recorder{};
    Trace trace{};
    Context context{};
};

/// "" where a span lacks it; numbers in decimal.
inline std::string attribute(const SpanRecord& span, std::string_view name) {
    const auto found = std::find_if(span.attributes.begin(), span.attributes.end(),
                                    [&](const auto& attribute) { return attribute.first == name; });
    if (found == span.attributes.end()) {
        return "";
    }
    const SpanValue& value = found->second;
    if (const auto* text = std::get_if<std::string>(&value)) {
        return *text;
    }
    const auto* number = std::get_if<std::int64_t>(&value);
    REQUIRE(number != nullptr);
    return std::to_string(*number);
}

/// No name twice.
inline bool has_distinct_attributes(const SpanRecord& span) {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : span.attributes) {
        names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return std::adjacent_find(names.begin(), names.end()) == names.end();
}

/// Whether a word stands anywhere in what would leave the process.
inline bool mentions(const std::vector<SpanRecord>& spans, std::string_view word) {
    return std::any_of(spans.begin(), spans.end(), [&](const SpanRecord& span) {
        return span.name.find(word) != std::string::npos ||
               std::any_of(span.attributes.begin(), span.attributes.end(), [&](const auto& attribute) {
                   const auto* text = std::get_if<std::string>(&attribute.second);
                   return text != nullptr && text->find(word) != std::string::npos;
               });
    });
}

inline std::string traceparent_of(const SpanRecord& span, bool sampled = true) {
    TraceContext context;
    context.trace_id = span.trace_id;
    context.span_id = span.span_id;
    context.sampled = sampled;
    return format_traceparent(context);
}

inline std::size_t count_fields(const Recorded& request, std::string_view name) {
    return static_cast<std::size_t>(std::count_if(request.fields.begin(), request.fields.end(), [&](const auto& field) {
        return std::equal(field.first.begin(), field.first.end(), name.begin(), name.end(),
                          [](char a, char b) { return std::tolower(a) == std::tolower(b); });
    }));
}

inline Script reply(int status, const std::string& body) {
    return [=](const Recorded&, ScriptedReply& out) { out.send(status, body); };
}

/// A tool of the product behind a scripted server.
struct TracedTool {
    explicit TracedTool(Script script = reply(200, "the product's answer")) : server(std::move(script)) {
        config.name = "orders";
        config.description = "Looks up orders.";
        config.parameters = R"({"type":"object","properties":{"id":{}}})";
        config.method = "GET";
        config.url = server.url("/orders/{id}");
    }

    std::unique_ptr<Tool> make() {
        auto made = make_http_tool(config, headers, {}, clock);
        REQUIRE(made);
        return std::move(*made);
    }

    Result<std::string> call(const Context& context) {
        return make()->call(R"({"id":"secret-argument"})", {*store, clock}, context);
    }

    SystemClock clock{};
    MemoryStore store{clock};
    ScriptedUpstream server;
    ToolConfig config{};
    std::vector<std::pair<std::string, std::string>> headers{};
};

}  // namespace mt::test
