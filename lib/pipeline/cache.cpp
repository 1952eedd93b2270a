#include <fmt/core.h>

#include <optional>
#include <string>
#include <utility>

#include "agent/answer_codec.h"
#include "base/trace.h"
#include "pipeline/stages.h"

namespace mt::stages {
namespace {

// Passes events on until the client is gone, and then lets the model go on: others may wait for this answer. The
// flight's own token stops it when nobody does.
class SharedSink final : public Sink {
  public:
    explicit SharedSink(Sink& client) : m_client(client) {}
    bool on_event(const ModelEvent& event) override {
        m_gone = m_gone || !m_client.on_event(event);
        return true;
    }
    [[nodiscard]] bool gone() const { return m_gone; }

  private:
    Sink& m_client;
    bool m_gone = false;
};

Result<void> client_gone() {
    return Error{Code::client_gone, "the client left before the answer was complete"};
}

Result<void> deliver(Call& call, Answer answer) {
    call.answer = std::move(answer);
    call.cache = CacheUse::hit;
    return replay(call.answer.choice, 0, *call.sink) ? Result<void>{} : client_gone();
}

// An answer that depends on more than the question: it belongs to this call alone and is no failure of it.
const Error k_not_shared{Code::conflict, "not a function of the request"};

// Only an answer that is a function of the request may be kept: no session, a model that always says the same (or a
// client or operator who wants that), and (known later) pure tools alone.
bool may_be_kept(const Call& call) {
    const Tenant& tenant = *call.tenant;
    const Question& question = *call.question;
    const Result<const NamedModel*> model = tenant.agent->find_model(question.model);
    return question.session.empty() && call.cache_allowed && tenant.config.cache_size > 0 && model.has_value() &&
           (question.chat == nullptr || question.chat->choices == 1) &&
           (tenant.config.cache_completions || (*model)->model->deterministic() ||
            (question.chat != nullptr && question.chat->deterministic));
}

// A change of settings starts with an empty cache, so the question alone is the key.
std::string key_of(const Question& question) {
    return question.chat == nullptr ? "q:" + question.text
                                    : fmt::format("c:{}:{}", question.model, question.chat->fingerprint());
}

// What the tenant's limits have cut short is no answer for others.
bool may_be_shared(const Call& call) {
    return call.answer.cacheable && (call.question->max_tokens == 0 || call.answer.choice.finish_reason != "length");
}

// Computes on this thread, for all who wait. The outcome of this call alone is put into `own`.
Result<std::string> compute(Call& call, const Next& next, std::stop_token stop, std::optional<Result<void>>& own) {
    const std::stop_token of_client = std::exchange(call.context.stop, std::move(stop));
    SharedSink shared(*call.sink);
    Sink* const client = std::exchange(call.sink, &shared);
    own.emplace(next(call));
    call.sink = client;
    call.context.stop = of_client;
    if (!*own) {
        return own->error();
    }
    if (shared.gone() || of_client.stop_requested()) {
        own.emplace(client_gone());
    }
    if (!may_be_shared(call)) {
        return k_not_shared;
    }
    return encode_answer(call.answer);
}

Result<void> answer_or_share(Call& call, const Next& next) {
    const Tenant& tenant = *call.tenant;
    const std::string key = key_of(*call.question);
    if (std::optional<std::string> kept = tenant.cache->get(key)) {
        if (std::optional<Answer> answer = decode_answer(*kept)) {
            return deliver(call, *std::move(answer));
        }
    }
    call.cache = CacheUse::miss;
    std::optional<Result<void>> own;  // set when this call computed
    const SingleFlight::Outcome outcome =
        tenant.flights->run(key, call.context, [&](std::stop_token stop) -> Result<std::string> {
            Result<std::string> kept = compute(call, next, std::move(stop), own);
            if (kept) {
                tenant.cache->put(key, *kept);
            }
            return kept;
        });
    if (own) {
        call.cache = *own && may_be_shared(call) ? CacheUse::miss : CacheUse::bypass;
        return *own;
    }
    call.cache = CacheUse::bypass;
    if (!outcome.value) {
        return outcome.value.error();
    }
    std::optional<Answer> answer = decode_answer(*outcome.value);
    return answer ? deliver(call, *std::move(answer))
                  : Result<void>{Error{Code::internal, "an answer of an identical call cannot be read"}};
}

}  // namespace

Result<void> cache(Call& call, PipelineServices& /*services*/, const Next& next) {
    Span span(call.context.trace, SpanKind::internal, "cache");
    Result<void> outcome = may_be_kept(call) ? answer_or_share(call, next) : next(call);
    if (span.recording()) {
        span.set("mtagent.cache", std::string(to_string(call.cache)));
    }
    return outcome;
}

}  // namespace mt::stages
