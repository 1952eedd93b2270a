#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/agent.h"
#include "agent/assembly.h"

namespace mt::api {

/// What all parts of one completion share on the wire.
struct CompletionName {
    std::string id;            ///< "chatcmpl-..."
    std::int64_t created = 0;  ///< seconds since 1970
};

/// A complete answer as OpenAI's "chat.completion", in one line. Its size is the only thing that its cost grows with.
std::string completion_json(const CompletionName& name, std::string_view model, const std::vector<Choice>& choices,
                            const Usage& usage);

/// {"prompt_tokens","completion_tokens","total_tokens"}, and "estimated": true where the model's server counted none.
std::string usage_json(const Usage& usage);

}  // namespace mt::api
