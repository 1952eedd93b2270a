#include "api/chat_messages.h"

#include <fmt/core.h>

#include <array>
#include <cstddef>
#include <optional>
#include <utility>

namespace mt::api {
namespace {

std::string message_place(std::size_t index, std::string_view field) {
    return fmt::format("messages[{}]{}{}", index, field.empty() ? "" : ".", field);
}

// A text that has to be there. `place` is called only for the fault's sake.
template <class Place>
Result<std::string> needed_text(const SortedJson& object, std::string_view name, const Place& place) {
    const SortedJson* value = member(object, name);
    if (value == nullptr || !value->is_string()) {
        return wrong(place(), "a text");
    }
    return value->get<std::string>();
}

// Adds the texts of all parts to the message.
Result<void> read_parts(const SortedJson& parts, std::size_t index, Message& message) {
    std::size_t number = 0;
    for (const SortedJson& part : parts) {
        const SortedJson* type = part.is_object() ? member(part, "type") : nullptr;
        const auto place = [&](std::string_view field) {
            return message_place(index, fmt::format("content[{}]{}", number, field));
        };
        if (type == nullptr || !type->is_string()) {
            return wrong(place(".type"), "a text, such as \"text\"");
        }
        if (*type == "text" || *type == "input_text") {
            Result<std::string> text = needed_text(part, "text", [&] { return place(".text"); });
            if (!text) {
                return std::move(text).error();
            }
            message.content += message.content.empty() ? "" : "\n";
            message.content += *text;
        } else {
            ++message.other_parts;
        }
        ++number;
    }
    return {};
}

// An assistant's message may say nothing when it does something else.
bool may_be_silent(const SortedJson& json, const Message& message) {
    constexpr std::array<std::string_view, 3> k_other{"function_call", "refusal", "audio"};
    bool does_something = !message.tool_calls.empty();
    for (const std::string_view name : k_other) {
        does_something = does_something || member(json, name) != nullptr;
    }
    return message.role == Role::assistant && does_something;
}

Result<void> read_content(const SortedJson& json, std::size_t index, Message& message) {
    const SortedJson* content = member(json, "content");
    if (content != nullptr && content->is_string()) {
        message.content = content->get<std::string>();
        return {};
    }
    const bool empty = content == nullptr || (content->is_array() && content->empty());
    if (empty && may_be_silent(json, message)) {
        return {};
    }
    if (empty || !content->is_array()) {
        return wrong(message_place(index, "content"), "a text or a list of parts");
    }
    return read_parts(*content, index, message);
}

Result<ToolCall> read_call(const SortedJson& json, std::size_t message, std::size_t number) {
    const auto place = [&](std::string_view field) {
        return message_place(message, fmt::format("tool_calls[{}]{}", number, field));
    };
    if (!json.is_object()) {
        return wrong(place(""), "an object");
    }
    const SortedJson* type = member(json, "type");
    if (type != nullptr && *type != "function") {
        return wrong(place(".type"), "\"function\"");
    }
    const SortedJson* function = member(json, "function");
    if (function == nullptr || !function->is_object()) {
        return wrong(place(".function"), "an object");
    }
    Result<std::string> id = needed_text(json, "id", [&] { return place(".id"); });
    Result<std::string> name = needed_text(*function, "name", [&] { return place(".function.name"); });
    Result<std::string> arguments = needed_text(*function, "arguments", [&] { return place(".function.arguments"); });
    for (const Result<std::string>* text : {&id, &name, &arguments}) {
        if (!*text) {
            return text->error();
        }
    }
    return ToolCall{*std::move(id), *std::move(name), *std::move(arguments)};
}

Result<void> read_calls(const SortedJson& json, std::size_t index, Message& message) {
    const SortedJson* calls = member(json, "tool_calls");
    if (calls == nullptr) {
        return {};
    }
    if (message.role != Role::assistant || !calls->is_array()) {
        return wrong(message_place(index, "tool_calls"), "a list, in a message of the assistant");
    }
    for (const SortedJson& entry : *calls) {
        Result<ToolCall> call = read_call(entry, index, message.tool_calls.size());
        if (!call) {
            return std::move(call).error();
        }
        message.tool_calls.push_back(*std::move(call));
    }
    return {};
}

Result<void> read_call_id(const SortedJson& json, std::size_t index, Message& message) {
    if (message.role != Role::tool) {
        return {};
    }
    Result<std::string> id = needed_text(json, "tool_call_id", [&] { return message_place(index, "tool_call_id"); });
    if (!id) {
        return std::move(id).error();
    }
    message.tool_call_id = *std::move(id);
    return {};
}

// Role and one text: Message holds all of it.
bool is_plain(const SortedJson& json) {
    const SortedJson* content = member(json, "content");
    return json.size() == 2 && content != nullptr && content->is_string();
}

Result<Message> read_message(const SortedJson& json, std::size_t index) {
    if (!json.is_object()) {
        return wrong(message_place(index, ""), "an object with role and content");
    }
    const SortedJson* role = member(json, "role");
    const std::optional<Role> known =
        role != nullptr && role->is_string() ? parse_role(role->get_ref<const std::string&>()) : std::nullopt;
    if (!known) {
        return wrong(message_place(index, "role"), "system, developer, user, assistant or tool");
    }
    Message message;
    message.role = *known;
    for (const auto step : {read_calls, read_content, read_call_id}) {
        if (Result<void> read = step(json, index, message); !read) {
            return std::move(read).error();
        }
    }
    if (!is_plain(json)) {
        message.verbatim = line_of(json);
    }
    return message;
}

Result<ToolSpec> read_tool(const SortedJson& json, std::size_t index) {
    const auto place = [&](std::string_view field) { return fmt::format("tools[{}]{}", index, field); };
    const SortedJson* type = json.is_object() ? member(json, "type") : nullptr;
    if (type == nullptr || *type != "function") {
        return wrong(place(".type"), "\"function\"");
    }
    const SortedJson* function = member(json, "function");
    if (function == nullptr || !function->is_object()) {
        return wrong(place(".function"), "an object");
    }
    Result<std::string> name = needed_text(*function, "name", [&] { return place(".function.name"); });
    if (!name || name->empty()) {
        return wrong(place(".function.name"), "a text that is not empty");
    }
    const SortedJson* description = member(*function, "description");
    if (description != nullptr && !description->is_string()) {
        return wrong(place(".function.description"), "a text");
    }
    const SortedJson* parameters = member(*function, "parameters");
    if (parameters != nullptr && !parameters->is_object()) {
        return wrong(place(".function.parameters"), "a JSON schema, which is an object");
    }
    return ToolSpec{*std::move(name), description == nullptr ? std::string{} : description->get<std::string>(),
                    parameters == nullptr ? std::string{} : line_of(*parameters), line_of(json)};
}

}  // namespace

Result<std::vector<Message>> read_messages(const SortedJson& list) {
    std::vector<Message> messages;
    messages.reserve(list.size());
    for (const SortedJson& json : list) {
        Result<Message> message = read_message(json, messages.size());
        if (!message) {
            return std::move(message).error();
        }
        messages.push_back(*std::move(message));
    }
    return messages;
}

Result<std::vector<ToolSpec>> read_tools(const SortedJson& list) {
    std::vector<ToolSpec> tools;
    for (const SortedJson& json : list) {
        Result<ToolSpec> tool = read_tool(json, tools.size());
        if (!tool) {
            return std::move(tool).error();
        }
        tools.push_back(*std::move(tool));
    }
    return tools;
}

const SortedJson* member(const SortedJson& object, std::string_view name) {
    const auto found = object.find(name);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

Error wrong(std::string param, std::string_view what) {
    std::string message = fmt::format("'{}' is to be {}", param, what);
    return Error{Code::invalid, std::move(message), {}, {}, std::move(param)};
}

std::string line_of(const SortedJson& json) {
    return json.dump(-1, ' ', false, SortedJson::error_handler_t::replace);
}

}  // namespace mt::api
