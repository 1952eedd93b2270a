#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/result.h"

namespace mt {

enum class Role { system, developer, user, assistant, tool };

/// The role's name on the wire: "system", "developer", ...
std::string_view to_string(Role role);
/// Nothing for any other word.
std::optional<Role> parse_role(std::string_view name);

/// A call of a tool, as a model makes it. `arguments` is JSON text exactly as the model wrote it: it may be malformed.
struct ToolCall {
    std::string id;
    std::string name;
    std::string arguments;

    friend bool operator==(const ToolCall&, const ToolCall&) = default;
};

/// One message of a conversation.
struct Message {
    Role role = Role::user;
    std::string content;                 ///< its text; of a message in parts, the texts of all parts
    std::vector<ToolCall> tool_calls{};  ///< assistant only
    std::string tool_call_id{};          ///< tool only: which call this answers
    std::string verbatim{};              ///< JSON object as a client sent it, "" when the members above say everything
    std::int64_t other_parts = 0;        ///< parts that are no text (images, sound)
};

/// What a model is told of a tool: name, purpose, and the JSON schema of its arguments as text.
struct ToolSpec {
    std::string name;
    std::string description;
    std::string parameters;
    std::string verbatim{};  ///< JSON object as a client sent it, "" when the members above say everything
};

struct CompletionRequest {
    std::vector<Message> messages;
    std::vector<const ToolSpec*> tools{};  ///< offered ones; they outlive the request
    std::int64_t max_tokens = 0;           ///< of the answer, 0: the model's own bound
    std::string tool_choice{};             ///< JSON text, "" when the client said nothing
    std::string options{};                 ///< JSON object of further fields that a client sent, "" for none
    bool stream = false;                   ///< somebody reads along
};

/// Tokens of one completion, or of several.
struct Usage {
    std::int64_t tokens_in = 0;
    std::int64_t tokens_out = 0;
    bool estimated = false;  ///< counted by estimate_tokens, at least in part, not by the model's server

    Usage& operator+=(const Usage& other);
    [[nodiscard]] std::int64_t total() const { return tokens_in + tokens_out; }
};

/// One thing that a model says while it answers. The views are valid during the call that brings them.
struct ModelEvent {
    enum class Kind {
        text,            ///< `text`: a piece of the answer
        refusal,         ///< `text`: a piece of a refusal
        tool_call,       ///< a call begins: `index`, `id`, `name`
        tool_arguments,  ///< `text`: a piece of the arguments of call `index`
        fields,          ///< `text`: JSON object of fields that only the client may understand ("reasoning_content")
        logprobs,        ///< `text`: JSON
        finish,          ///< `text`: why the choice ended: "stop", "length", "tool_calls", "content_filter"
    };
    Kind kind = Kind::text;
    std::string_view text{};
    int choice = 0;
    int index = 0;  ///< of a tool call in its choice, from 0
    std::string_view id{};
    std::string_view name{};
    bool more = false;  ///< the next event is here already: whoever writes this one need not flush
};

/// Where a model's answer goes, piece by piece. Called by the thread that runs complete().
class Sink {
  public:
    Sink() = default;
    Sink(const Sink&) = delete;
    Sink& operator=(const Sink&) = delete;
    virtual ~Sink() = default;

    /// In order within a choice. False stops the model.
    virtual bool on_event(const ModelEvent& event) = 0;
};

/// A language model, or something that behaves like one. Thread-safe.
class Model {
  public:
    Model() = default;
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;
    virtual ~Model() = default;

    /// Runs one completion into `sink`; each choice ends with its finish event. What was used is added to `usage`, also
    /// when the completion fails or is stopped in its middle. Stops early, with client_gone, when the context's token
    /// fires or the sink says so. Errors: timeout, unavailable, upstream (with retry_after where the server named it),
    /// invalid (the model cannot do what the request asks for: `param` names the field, `reason` may be a code of
    /// OpenAI's), client_gone, busy.
    virtual Result<void> complete(const CompletionRequest& request, Sink& sink, Usage& usage,
                                  const Context& context) = 0;

    /// True when the same request always gets the same answer.
    [[nodiscard]] virtual bool deterministic() const = 0;
};

/// Rough number of tokens of a text where no model counts them: a token for every 4 bytes, rounded up.
std::int64_t estimate_tokens(std::string_view text);

/// The same for messages: texts and calls, 4 more per message for its frame, and 1000 for a part that is no text.
std::int64_t estimate_tokens(std::span<const Message> messages);

/// The same for what is told of a tool.
std::int64_t estimate_tokens(const ToolSpec& tool);

/// The same for what a model is sent: messages and tool schemas.
std::int64_t estimate_tokens(const CompletionRequest& request);

}  // namespace mt
