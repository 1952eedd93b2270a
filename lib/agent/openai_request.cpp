#include "agent/openai_request.h"

#include <fmt/core.h>

#include <string_view>
#include <vector>

#include "base/json_text.h"
#include "base/text.h"

namespace mt {
namespace {

void append_text(std::string& out, std::string_view text) {
    out += '"';
    append_json_text(out, text);
    out += '"';
}

void append_calls(std::string& out, const std::vector<ToolCall>& calls) {
    out += R"(,"tool_calls":[)";
    for (const ToolCall& call : calls) {
        out += &call == &calls.front() ? R"({"id":)" : R"(,{"id":)";
        append_text(out, call.id);
        out += R"(,"type":"function","function":{"name":)";
        append_text(out, call.name);
        out += R"(,"arguments":)";
        append_text(out, call.arguments);
        out += "}}";
    }
    out += ']';
}

void append_message(std::string& out, const Message& message) {
    if (!message.verbatim.empty()) {
        out += message.verbatim;
        return;
    }
    out += fmt::format(R"({{"role":"{}","content":)", to_string(message.role));
    if (message.content.empty() && !message.tool_calls.empty()) {
        out += "null";
    } else {
        append_text(out, message.content);
    }
    if (!message.tool_calls.empty()) {
        append_calls(out, message.tool_calls);
    }
    if (!message.tool_call_id.empty()) {
        out += R"(,"tool_call_id":)";
        append_text(out, message.tool_call_id);
    }
    out += '}';
}

void append_tool(std::string& out, const ToolSpec& tool) {
    if (!tool.verbatim.empty()) {
        out += tool.verbatim;
        return;
    }
    out += R"({"type":"function","function":{"name":)";
    append_text(out, tool.name);
    out += R"(,"description":)";
    append_text(out, tool.description);
    out += R"(,"parameters":)";
    out += tool.parameters;
    out += "}}";
}

void append_tools(std::string& out, const CompletionRequest& request) {
    out += R"(,"tools":[)";
    for (const ToolSpec* tool : request.tools) {
        out += tool == request.tools.front() ? "" : ",";
        append_tool(out, *tool);
    }
    out += ']';
    if (!request.tool_choice.empty()) {
        out += R"(,"tool_choice":)" + request.tool_choice;
    }
}

// The inside of a JSON object.
std::string_view members_of(std::string_view object) {
    const std::string_view text = trim(object);
    return text.size() < 2 ? std::string_view{} : trim(text.substr(1, text.size() - 2));
}

}  // namespace

std::string write_chat_request(const CompletionRequest& request, const ChatDialect& dialect) {
    std::string out = R"({"model":)";
    append_text(out, dialect.model);
    out += R"(,"messages":[)";
    for (const Message& message : request.messages) {
        out += &message == &request.messages.front() ? "" : ",";
        append_message(out, message);
    }
    out += ']';
    if (!request.tools.empty()) {
        append_tools(out, request);
    }
    if (request.max_tokens > 0) {
        out += fmt::format(R"(,"{}":{})", dialect.completion_bound ? "max_completion_tokens" : "max_tokens",
                           request.max_tokens);
    }
    if (request.stream) {
        out += R"(,"stream":true,"stream_options":{"include_usage":true})";
    }
    if (const std::string_view options = members_of(request.options); !options.empty()) {
        out += ',';
        out += options;
    }
    out += '}';
    return out;
}

}  // namespace mt
