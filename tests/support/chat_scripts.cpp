#include "support/chat_scripts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace mt::test {
namespace {

using nlohmann::json;

constexpr long k_created = 1'767'225'600;
constexpr const char* k_model = "scripted-1";

json usage_of(const ChatUsage& usage) {
    return {{"prompt_tokens", usage.prompt},
            {"completion_tokens", usage.completion},
            {"total_tokens", usage.prompt + usage.completion}};
}

json call_of(const ChatToolCall& call) {
    return {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

Script reply_with(const json& message, const char* finish_reason, const std::optional<ChatUsage>& usage) {
    json reply{
        {"id", "chatcmpl-scripted"},
        {"object", "chat.completion"},
        {"created", k_created},
        {"model", k_model},
        {"choices",
         json::array({{{"index", 0}, {"message", message}, {"logprobs", nullptr}, {"finish_reason", finish_reason}}})}};
    if (usage) {
        reply["usage"] = usage_of(*usage);
    }
    return [body = reply.dump()](const Recorded&, ScriptedReply& out) { out.send(200, body); };
}

json frame(const json& choices) {
    return {{"id", "chatcmpl-scripted"},
            {"object", "chat.completion.chunk"},
            {"created", k_created},
            {"model", k_model},
            {"choices", choices}};
}

std::string delta(const json& content, const json& finish_reason = nullptr) {
    return frame(json::array({{{"index", 0}, {"delta", content}, {"finish_reason", finish_reason}}})).dump();
}

// The events of a whole stream but [DONE].
std::vector<std::string> events_of(const std::vector<std::string>& deltas, const char* finish_reason,
                                   const std::optional<ChatUsage>& usage) {
    std::vector<std::string> events{delta({{"role", "assistant"}, {"content", ""}})};
    events.insert(events.end(), deltas.begin(), deltas.end());
    events.push_back(delta(json::object(), finish_reason));
    if (usage) {
        json last = frame(json::array());
        last["usage"] = usage_of(*usage);
        events.push_back(last.dump());
    }
    return events;
}

std::vector<std::string> deltas_of(const std::vector<std::string>& pieces) {
    std::vector<std::string> deltas(pieces.size());
    std::transform(pieces.begin(), pieces.end(), deltas.begin(), chat_delta);
    return deltas;
}

bool send_all(ScriptedReply& out, const std::vector<std::string>& events) {
    return std::all_of(events.begin(), events.end(), [&](const std::string& event) { return out.event(event); });
}

Script stream_of(std::vector<std::string> events) {
    return [events = std::move(events)](const Recorded&, ScriptedReply& out) {
        if (out.start_stream() && send_all(out, events) && out.event("[DONE]")) {
            out.finish();
        }
    };
}

Script as_asked(Script plain, Script stream) {
    return [plain = std::move(plain), stream = std::move(stream)](const Recorded& request, ScriptedReply& out) {
        const json asked = json::parse(request.body, nullptr, false);
        (asked.is_object() && asked.value("stream", false) ? stream : plain)(request, out);
    };
}

std::string joined(const std::vector<std::string>& pieces) {
    std::string text;
    for (const std::string& piece : pieces) {
        text += piece;
    }
    return text;
}

}  // namespace

std::string chat_delta(const std::string& content) {
    return delta({{"content", content}});
}

Script chat_reply(const std::string& text, std::optional<ChatUsage> usage) {
    return reply_with({{"role", "assistant"}, {"content", text}, {"refusal", nullptr}}, "stop", usage);
}

Script tool_reply(const std::vector<ChatToolCall>& calls, std::optional<ChatUsage> usage) {
    json list = json::array();
    for (const ChatToolCall& call : calls) {
        list.push_back(call_of(call));
    }
    return reply_with({{"role", "assistant"}, {"content", nullptr}, {"refusal", nullptr}, {"tool_calls", list}},
                      "tool_calls", usage);
}

Script chat_stream(const std::vector<std::string>& pieces, std::optional<ChatUsage> usage) {
    return stream_of(events_of(deltas_of(pieces), "stop", usage));
}

Script tool_stream(const std::vector<ChatToolCall>& calls, std::optional<ChatUsage> usage, std::size_t piece) {
    std::vector<std::string> deltas;
    for (std::size_t index = 0; index < calls.size(); ++index) {
        json first = call_of(calls[index]);
        first["index"] = index;
        first["function"]["arguments"] = "";
        deltas.push_back(delta({{"tool_calls", json::array({first})}}));
        for (std::size_t at = 0; at < calls[index].arguments.size(); at += piece) {
            const json more{{"index", index}, {"function", {{"arguments", calls[index].arguments.substr(at, piece)}}}};
            deltas.push_back(delta({{"tool_calls", json::array({more})}}));
        }
    }
    return stream_of(events_of(deltas, "tool_calls", usage));
}

Script chat(const std::vector<std::string>& pieces, std::optional<ChatUsage> usage) {
    return as_asked(chat_reply(joined(pieces), usage), chat_stream(pieces, usage));
}

Script tools(const std::vector<ChatToolCall>& calls, std::optional<ChatUsage> usage) {
    return as_asked(tool_reply(calls, usage), tool_stream(calls, usage));
}

Script chat_error(int status, const std::string& message, const ScriptFields& fields) {
    const json error{{"error", {{"message", message}, {"type", "scripted"}, {"param", nullptr}, {"code", nullptr}}}};
    return
        [status, fields, body = error.dump()](const Recorded&, ScriptedReply& out) { out.send(status, body, fields); };
}

Script rate_limited(const std::string& retry_after) {
    return chat_error(429, "slow down", {{"Retry-After", retry_after}});
}

Script wrong_json() {
    return [](const Recorded&, ScriptedReply& out) { out.send(200, R"({"choices": [{)"); };
}

Script wrong_json_stream() {
    return stream_of({delta({{"role", "assistant"}, {"content", ""}}), R"({"choices": [{)"});
}

Script huge_line(std::size_t bytes) {
    return stream_of(events_of({chat_delta(std::string(bytes, 'x'))}, "stop", ChatUsage{}));
}

Script cut_stream(const std::vector<std::string>& pieces, bool with_reset) {
    return [events = deltas_of(pieces), with_reset](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        send_all(out, events);
        if (with_reset) {
            out.reset();
        } else {
            out.cut();
        }
    };
}

Script stalled_stream(const std::vector<std::string>& before, const Latch& latch,
                      const std::vector<std::string>& after) {
    return [first = deltas_of(before), second = events_of(deltas_of(after), "stop", ChatUsage{}), &latch](
               const Recorded&, ScriptedReply& out) {
        if (out.start_stream() && send_all(out, first) && out.wait_for(latch) && send_all(out, second) &&
            out.event("[DONE]")) {
            out.finish();
        }
    };
}

Script after(const Latch& latch, Script script) {
    return [&latch, script = std::move(script)](const Recorded& request, ScriptedReply& out) {
        if (out.wait_for(latch)) {
            script(request, out);
        }
    };
}

Script sequence(std::vector<Script> scripts) {
    return [scripts = std::move(scripts)](const Recorded& request, ScriptedReply& out) {
        scripts[std::min(static_cast<std::size_t>(request.number), scripts.size() - 1)](request, out);
    };
}

}  // namespace mt::test
