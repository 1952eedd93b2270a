#include <optional>
#include <string>
#include <utility>

#include "base/text.h"
#include "pipeline/stages.h"

namespace mt::stages {
namespace {

// An answer as it lies in the cache: the tools used on the first line, then the text.
std::string encode(const Answer& answer) {
    return join(answer.tools_used, ",") + "\n" + answer.text;
}

Answer decode(const std::string& kept) {
    Answer answer;
    const std::size_t end = kept.find('\n');
    answer.tools_used = split_list(std::string_view(kept).substr(0, end));
    answer.text = kept.substr(end + 1);
    return answer;
}

Result<void> deliver(Call& call, Answer answer) {
    const bool taken = call.sink.on_text(answer.text);
    call.answer = std::move(answer);
    call.cache = CacheUse::hit;
    return taken ? Result<void>{} : Result<void>{Error{Code::client_gone, "the client left"}};
}

// An answer that depends on more than the question: it belongs to this call alone and is no failure of it.
const Error k_not_shared{Code::conflict, "not a function of the request"};

}  // namespace

Result<void> cache(Call& call, PipelineServices& /*services*/, const Next& next) {
    const Tenant& tenant = *call.tenant;
    // Only an answer that is a function of the request may be kept: no session, and (below) pure tools alone.
    if (!call.question->session.empty() || !call.cache_allowed || tenant.config.cache_size == 0) {
        return next(call);
    }
    // A change of settings starts with an empty cache, so the question alone is the key.
    const std::string& key = call.question->text;
    if (std::optional<std::string> kept = tenant.cache->get(key)) {
        return deliver(call, decode(*kept));
    }
    std::optional<Result<void>> own;  // set when this call computed
    const SingleFlight::Outcome outcome =
        tenant.flights->run(key, call.context.stop, [&](std::stop_token stop) -> Result<std::string> {
            const std::stop_token of_client = std::exchange(call.context.stop, std::move(stop));
            own.emplace(next(call));
            call.context.stop = of_client;
            if (!*own) {
                return own->error();
            }
            if (!call.answer.pure) {
                return k_not_shared;
            }
            std::string kept = encode(call.answer);
            tenant.cache->put(key, kept);
            return kept;
        });
    if (own) {
        call.cache = *own && call.answer.pure ? CacheUse::miss : CacheUse::bypass;
        return *own;
    }
    return outcome.value ? deliver(call, decode(*outcome.value)) : Result<void>{outcome.value.error()};
}

}  // namespace mt::stages
