#pragma once

#include <string>

#include "agent/model.h"

namespace mt {

// The wire format of OpenAI's chat completions, as a client writes it
// (https://platform.openai.com/docs/api-reference/chat).

/// What differs from server to server.
struct ChatDialect {
    std::string model;              ///< its name at the server
    bool completion_bound = false;  ///< the bound is named max_completion_tokens, not max_tokens
};

/// The body of a request.
std::string write_chat_request(const CompletionRequest& request, const ChatDialect& dialect);

}  // namespace mt
