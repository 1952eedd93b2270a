#include "api/chat_reply.h"

#include <fmt/core.h>

#include <cstddef>

#include "api/json_text.h"

namespace mt::api {
namespace {

void add_string(std::string& out, std::string_view text) {
    out += '"';
    append_json_text(out, text);
    out += '"';
}

void add_calls(std::string& out, const std::vector<ToolCall>& calls) {
    std::string_view separator;
    out += R"(,"tool_calls":[)";
    for (const ToolCall& call : calls) {
        out += separator;
        out += R"({"id":)";
        add_string(out, call.id);
        out += R"(,"type":"function","function":{"name":)";
        add_string(out, call.name);
        out += R"(,"arguments":)";
        add_string(out, call.arguments);
        out += "}}";
        separator = ",";
    }
    out += ']';
}

void add_message(std::string& out, const Choice& choice) {
    out += R"({"role":"assistant","content":)";
    if (choice.text.empty() && (!choice.tool_calls.empty() || !choice.refusal.empty())) {
        out += "null";
    } else {
        add_string(out, choice.text);
    }
    out += R"(,"refusal":)";
    if (choice.refusal.empty()) {
        out += "null";
    } else {
        add_string(out, choice.refusal);
    }
    if (!choice.tool_calls.empty()) {
        add_calls(out, choice.tool_calls);
    }
    if (const std::string more = json_members(choice.fields, "role content refusal tool_calls"); !more.empty()) {
        out += ',';
        out += more;
    }
    out += '}';
}

void add_choice(std::string& out, std::size_t index, const Choice& choice) {
    out += fmt::format(R"({{"index":{},"message":)", index);
    add_message(out, choice);
    out += R"(,"logprobs":)";
    out += choice.logprobs.empty() ? "null" : json_line(choice.logprobs);
    out += R"(,"finish_reason":)";
    add_string(out, choice.finish_reason.empty() ? "stop" : choice.finish_reason);
    out += '}';
}

}  // namespace

std::string completion_json(const CompletionName& name, std::string_view model, const std::vector<Choice>& choices,
                            const Usage& usage) {
    std::string out = fmt::format(R"({{"id":{},"object":"chat.completion","created":{},"model":{},"choices":[)",
                                  json_string(name.id), name.created, json_string(model));
    for (std::size_t index = 0; index < choices.size(); ++index) {
        out += index == 0 ? "" : ",";
        add_choice(out, index, choices[index]);
    }
    out += R"(],"usage":)";
    out += usage_json(usage);
    out += '}';
    return out;
}

std::string usage_json(const Usage& usage) {
    return fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}{}}})", usage.tokens_in,
                       usage.tokens_out, usage.total(), usage.estimated ? R"(,"estimated":true)" : "");
}

}  // namespace mt::api
