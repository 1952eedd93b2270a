#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "support/scripted_upstream.h"

namespace mt::test {

// Ready-made scripts that speak as a server of chat completions does
// (https://platform.openai.com/docs/api-reference/chat).

struct ChatUsage {
    int prompt = 12;
    int completion = 7;
};

struct ChatToolCall {
    std::string id;
    std::string name;
    std::string arguments;  ///< JSON, as the model would write it
};

/// Plain replies, whatever was asked. Without usage the field is missing.
Script chat_reply(const std::string& text, std::optional<ChatUsage> usage = ChatUsage{});
Script tool_reply(const std::vector<ChatToolCall>& calls, std::optional<ChatUsage> usage = ChatUsage{});
/// Streams, whatever was asked: role, a delta per piece, the reason to stop, usage if there is one, [DONE].
Script chat_stream(const std::vector<std::string>& pieces, std::optional<ChatUsage> usage = ChatUsage{});
/// Arguments come in deltas of `piece` bytes.
Script tool_stream(const std::vector<ChatToolCall>& calls, std::optional<ChatUsage> usage = ChatUsage{},
                   std::size_t piece = 4);
/// A stream or a plain reply, as the request's "stream" says.
Script chat(const std::vector<std::string>& pieces, std::optional<ChatUsage> usage = ChatUsage{});
Script tools(const std::vector<ChatToolCall>& calls, std::optional<ChatUsage> usage = ChatUsage{});

/// An error in the shape of the API, without fields of its own.
Script chat_error(int status, const std::string& message = "scripted", const ScriptFields& fields = {});
/// 429 with this Retry-After.
Script rate_limited(const std::string& retry_after);
/// 200 with a body that is no JSON; the same as an event of a stream.
Script wrong_json();
Script wrong_json_stream();
/// A stream with one event of so many bytes and no line end in between; ends well.
Script huge_line(std::size_t bytes);
/// These pieces, then the connection ends in mid-stream; orderly or with a reset.
Script cut_stream(const std::vector<std::string>& pieces, bool with_reset = false);
/// The pieces before, silence until the latch opens, the pieces after it, the end. With no pieces before only the head
/// comes before the silence.
Script stalled_stream(const std::vector<std::string>& before, const Latch& latch,
                      const std::vector<std::string>& after);
/// Not a byte until the latch opens.
Script after(const Latch& latch, Script script);
/// Request n of the server gets script n; the last one answers all further ones.
Script sequence(std::vector<Script> scripts);

/// The JSON of one streamed delta with this content, as the scripts send it.
std::string chat_delta(const std::string& content);

}  // namespace mt::test
