#include "base/trace.h"
#include "pipeline/stages.h"

namespace mt::stages {
namespace {

// Attributes of OpenTelemetry's semantic conventions for generative AI.
void describe_agent(Span& span, const Call& call, const Result<void>& outcome) {
    const Usage& usage = call.answer.usage;
    span.set("gen_ai.operation.name", std::string("invoke_agent"));
    span.set("gen_ai.agent.name", call.tenant->config.name);
    span.set("gen_ai.usage.input_tokens", usage.tokens_in);
    span.set("gen_ai.usage.output_tokens", usage.tokens_out);
    span.set("mtagent.queue_ms", static_cast<double>(call.queued_ns) / 1e6);
    if (const Result<const NamedModel*> model = call.tenant->agent->find_model(call.question->model)) {
        span.set("gen_ai.request.model", (*model)->name);
    }
    if (!outcome) {
        span.fail(describe(outcome.error().code).name);
    }
}

}  // namespace

Result<void> agent(Call& call, PipelineServices& /*services*/, const Next& /*next: innermost*/) {
    Span span(call.context.trace, SpanKind::internal, "invoke_agent", call.context.tenant);
    Result<void> outcome = call.tenant->agent->ask(*call.question, *call.sink, call.answer, call.context);
    if (span.recording()) {
        describe_agent(span, call, outcome);
    }
    return outcome;
}

}  // namespace mt::stages
