#include "agent/upstream_span.h"

#include "agent/openai_refusal.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "http/grammar.h"

namespace mt {
namespace {

using Json = nlohmann::json;

bool has_field(const http::Fields& fields, std::string_view name) {
    return std::any_of(fields.begin(), fields.end(),
                       [&](const auto& field) { return http::equal_ignoring_case(field.first, name); });
}

// The member "model" of an object; nothing else of it is kept. Empty where there is none.
std::string model_of(std::string_view json) {
    using Event = Json::parse_event_t;
    std::string model;
    bool is_next = false;
    const auto look = [&](int depth, Event event, Json& parsed) {
        if (event == Event::key) {
            is_next = depth == 1 && parsed == "model";
            return is_next;
        }
        if (event == Event::value && depth == 1 && is_next && parsed.is_string()) {
            model = parsed.get<std::string>();
        }
        return depth == 0;
    };
    const Json rest = Json::parse(json, look, false);
    static_cast<void>(rest);  // whether it is JSON is for the reader to say
    return model;
}

}  // namespace

void set_server(Span& span, const http::Url& url) {
    if (!span.recording()) {
        return;
    }
    span.set("server.address", url.unix_path.empty() ? url.host : url.unix_path);
    if (url.unix_path.empty()) {
        span.set("server.port", std::int64_t{url.port});
    }
}

void add_trace_fields(http::Fields& fields, const Context& context) {
    const TraceContext* current = context.trace != nullptr ? context.trace->current() : nullptr;
    if (current == nullptr || has_field(fields, "traceparent")) {
        return;
    }
    fields.emplace_back("traceparent", format_traceparent(*current));
    if (!current->state.empty() && !has_field(fields, "tracestate")) {
        fields.emplace_back("tracestate", current->state);
    }
}

ChatSpan::ChatSpan(const Context& context, const ChatAttempt& attempt, Sink& out)
    : m_span(context.trace, SpanKind::client, "chat", attempt.model), m_out(out), m_looks(0) {
    if (!m_span.recording()) {
        return;
    }
    constexpr int k_looks = 4;  // the first event of some servers has an empty name
    m_looks = k_looks;
    m_span.set("gen_ai.operation.name", "chat");
    m_span.set("gen_ai.provider.name", "openai");
    m_span.set("gen_ai.request.model", attempt.model);
    set_server(m_span, attempt.url);
    if (attempt.max_tokens > 0) {
        m_span.set("gen_ai.request.max_tokens", attempt.max_tokens);
    }
    if (attempt.retry > 0) {
        m_span.set("http.request.resend_count", std::int64_t{attempt.retry});
    }
}

bool ChatSpan::on_event(const ModelEvent& event) {
    if (m_span.recording() && event.kind == ModelEvent::Kind::finish) {
        m_finish_reasons.append(m_finish_reasons.empty() ? "" : ",").append(only_word(event.text));
    }
    return m_out.on_event(event);
}

void ChatSpan::set_status(int status) {
    m_span.set("http.response.status_code", std::int64_t{status});
}

void ChatSpan::see(std::string_view json) {
    if (m_looks == 0) {
        return;
    }
    --m_looks;
    if (std::string model = only_word(model_of(json)); !model.empty()) {
        m_span.set("gen_ai.response.model", std::move(model));
        m_looks = 0;
    }
}

void ChatSpan::end(const Result<void>& done, const std::optional<Usage>& usage) {
    if (!m_span.recording()) {
        return;
    }
    if (usage) {
        m_span.set("gen_ai.usage.input_tokens", usage->tokens_in);
        m_span.set("gen_ai.usage.output_tokens", usage->tokens_out);
    }
    if (!m_finish_reasons.empty()) {
        m_span.set("gen_ai.response.finish_reasons", std::move(m_finish_reasons));
    }
    if (!done) {
        m_span.fail(describe(done.error().code).name);
    }
}

}  // namespace mt
