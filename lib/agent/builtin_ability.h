#pragma once

#include <optional>
#include <vector>

#include "agent/conversation.h"
#include "agent/model.h"

namespace mt {

/// Can the builtin model do what a request asks for? It takes settings that only tune a choice of words (temperature,
/// seed, ...), and none that promise something of the answer. Errors: invalid, with `param`.
Result<void> check_possible(const CompletionRequest& request);

/// The call that a user asks for in so many words: "call NAME", or "call NAME {JSON}" with an offered tool. Nothing
/// once it has been answered, or when the question says something else.
std::optional<ToolCall> named_call(const Conversation& conversation, const std::vector<const ToolSpec*>& offered);

}  // namespace mt
