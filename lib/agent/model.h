#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/result.h"

namespace mt {

enum class Role { system, user, assistant, tool };

/// A call of a tool, as a model makes it. `arguments` is JSON text exactly as the model wrote it: it may be malformed.
struct ToolCall {
    std::string id;
    std::string name;
    std::string arguments;
};

/// One message of a conversation.
struct Message {
    Role role = Role::user;
    std::string content;
    std::vector<ToolCall> tool_calls{};  ///< assistant only
    std::string tool_call_id{};          ///< tool only: which call this answers
};

/// What a model is told of a tool: name, purpose, and the JSON schema of its arguments as text.
struct ToolSpec {
    std::string name;
    std::string description;
    std::string parameters;
};

struct CompletionRequest {
    std::vector<Message> messages;
    std::vector<const ToolSpec*> tools{};  ///< offered ones; they outlive the request
    std::int64_t max_tokens = 0;           ///< of the answer, 0: the model's own bound
};

/// Tokens of one completion.
struct Usage {
    std::int64_t tokens_in = 0;
    std::int64_t tokens_out = 0;
    bool estimated = false;  ///< counted by estimate_tokens, not by the model's server
};

/// Where a model's answer goes, piece by piece. Called by the thread that runs complete().
class Sink {
  public:
    Sink() = default;
    Sink(const Sink&) = delete;
    Sink& operator=(const Sink&) = delete;
    virtual ~Sink() = default;

    /// Text of the answer, in order. False stops the model.
    virtual bool on_text(std::string_view piece) = 0;
    /// A complete tool call. False stops the model.
    virtual bool on_tool_call(const ToolCall& call) = 0;
};

/// A language model, or something that behaves like one. Thread-safe.
class Model {
  public:
    Model() = default;
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;
    virtual ~Model() = default;

    /// Runs one completion into `sink`. Stops early, with client_gone, when the context's token fires or the sink says
    /// so. Errors: timeout, unavailable, upstream, client_gone.
    virtual Result<Usage> complete(const CompletionRequest& request, Sink& sink, const Context& context) = 0;
};

/// Rough number of tokens of a text where no model counts them: a token for every 4 bytes, rounded up.
std::int64_t estimate_tokens(std::string_view text);

}  // namespace mt
