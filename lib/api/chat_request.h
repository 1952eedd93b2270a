#pragma once

#include "agent/agent.h"
#include "base/result.h"
#include "http/message.h"

namespace mt::api {

/// What the body of POST /v1/chat/completions asks for.
struct ChatRequest {
    Question question{};         ///< with `chat`
    bool include_usage = false;  ///< stream_options.include_usage
};

/// Reads the body, strictly in what is known here; fields that are not known go into Chat::options for the model. Takes
/// time and memory that grow with the size of the body alone. Errors: unsupported_media; invalid with `param`, the
/// place of the fault: "messages[2].content".
Result<ChatRequest> read_chat_request(const http::Request& request);

}  // namespace mt::api
