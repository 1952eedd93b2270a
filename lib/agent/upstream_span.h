#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/model.h"
#include "base/context.h"
#include "base/result.h"
#include "base/trace.h"
#include "http/client.h"
#include "http/message.h"

namespace mt {

// What traces say of the servers behind us, in the names of OpenTelemetry's semantic conventions
// (https://opentelemetry.io/docs/specs/semconv/gen-ai/ and https://opentelemetry.io/docs/specs/semconv/http/). Never a
// key, a prompt, arguments, an answer, or an address with its path.

/// Says to which server a span's request goes.
void set_server(Span& span, const http::Url& url);

/// Adds the fields by which the server's own spans find ours (W3C Trace Context): traceparent, and tracestate where
/// there is one. Nothing without a trace, or where `fields` have a traceparent already. To be called while the span of
/// the request lasts.
void add_trace_fields(http::Fields& fields, const Context& context);

/// What is known of an attempt at a model's server before it begins. References outlive the span.
struct ChatAttempt {
    const std::string& model;  ///< its name at the server
    const http::Url& url;
    std::int64_t max_tokens = 0;  ///< of the answer, 0: not said
    int retry = 0;                ///< attempts before this one
};

/// The span of one attempt at a model's server, from the request to the end of the reply. Lies between the reader of
/// the reply and the sink and passes everything on, because it notes why the answer ended. Lives on the stack of the
/// thread that makes the attempt.
class ChatSpan final : public Sink {
  public:
    /// `out` outlives it. The context's trace may be null.
    ChatSpan(const Context& context, const ChatAttempt& attempt, Sink& out);

    bool on_event(const ModelEvent& event) override;

    /// The head of the reply has come.
    void set_status(int status);
    /// A reply, or an event of one, as JSON text: the server may say there which model answers.
    void see(std::string_view json);
    /// The attempt is over. `usage`: what the server says was used, if it did.
    void end(const Result<void>& done, const std::optional<Usage>& usage);

  private:
    Span m_span;
    Sink& m_out;
    int m_looks;                     // how many texts are still searched for the model
    std::string m_finish_reasons{};  // of the choices, in the order in which they ended
};

}  // namespace mt
