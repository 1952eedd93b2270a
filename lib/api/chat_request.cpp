#include "api/chat_request.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "api/chat_messages.h"
#include "api/json_text.h"
#include "base/ids.h"
#include "base/text.h"

namespace mt::api {
namespace {

constexpr int k_deepest = 64;
constexpr std::int64_t k_most_choices = 128;  // OpenAI's bound of n
constexpr std::int64_t k_most_tokens = INT32_MAX;

// Fields that are read here; all others are left to the model.
constexpr std::array<std::string_view, 8> k_own{
    "model", "messages", "tools", "tool_choice", "max_tokens", "max_completion_tokens", "stream", "stream_options"};

// Fields that cannot change the answer.
constexpr std::array<std::string_view, 8> k_without_effect{
    "stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"};

bool contains(std::span<const std::string_view> names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// Seen before anything is built, because values inside values are written and freed by recursion.
bool is_flat_enough(std::string_view text) {
    int depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size() && depth <= k_deepest; ++i) {
        const char c = text[i];
        if (in_string) {
            i += c == '\\' ? 1U : 0U;
            in_string = c != '"';
            continue;
        }
        in_string = c == '"';
        depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
    }
    return depth <= k_deepest;
}

Error broken(std::string_view message) {
    return Error{Code::invalid, std::string(message)};
}

Result<SortedJson> read_object(const http::Request& request) {
    const std::string type = to_lower(request.field("Content-Type").value_or(""));
    if (trim(std::string_view(type).substr(0, type.find(';'))) != "application/json") {
        return Error{Code::unsupported_media, "the body is to be JSON: Content-Type: application/json"};
    }
    if (!is_utf8(request.body)) {
        return broken("the body is not UTF-8 text");
    }
    if (!is_flat_enough(request.body)) {
        return broken(fmt::format("the body has more than {} levels of objects and lists", k_deepest));
    }
    SortedJson body = SortedJson::parse(request.body, nullptr, false);
    if (!body.is_object()) {
        return broken(body.is_discarded() ? "the body is no valid JSON" : "the body is to be one JSON object");
    }
    return body;
}

// 0 when the field is absent.
Result<std::int64_t> positive(const SortedJson& body, std::string_view name, std::int64_t most) {
    const SortedJson* value = member(body, name);
    if (value == nullptr) {
        return std::int64_t{0};
    }
    // The parser holds every number that is not negative as an unsigned one.
    const std::uint64_t number = value->is_number_unsigned() ? value->get<std::uint64_t>() : 0;
    if (number < 1 || number > static_cast<std::uint64_t>(most)) {
        return wrong(std::string(name), fmt::format("a whole number from 1 to {}", most));
    }
    return static_cast<std::int64_t>(number);
}

// False when the field is absent.
Result<bool> flag(const SortedJson& object, std::string_view name, std::string_view place) {
    const SortedJson* value = member(object, name);
    if (value != nullptr && !value->is_boolean()) {
        return wrong(std::string(place), "true or false");
    }
    return value != nullptr && value->get<bool>();
}

// The bound of the answer has two names, an old one and a new one; where both are given both hold.
Result<void> read_bounds(const SortedJson& body, Chat& chat) {
    const Result<std::int64_t> former = positive(body, "max_tokens", k_most_tokens);
    const Result<std::int64_t> present = positive(body, "max_completion_tokens", k_most_tokens);
    const Result<std::int64_t> choices = positive(body, "n", k_most_choices);
    for (const Result<std::int64_t>* number : {&former, &present, &choices}) {
        if (!*number) {
            return number->error();
        }
    }
    chat.max_tokens = *former > 0 && *present > 0 ? std::min(*former, *present) : *former + *present;
    chat.choices = *choices > 0 ? static_cast<int>(*choices) : 1;
    return {};
}

Result<void> read_conversation(const SortedJson& body, Chat& chat) {
    const SortedJson* messages = member(body, "messages");
    if (messages == nullptr || !messages->is_array() || messages->empty()) {
        return wrong("messages", "a list with at least one message");
    }
    Result<std::vector<Message>> read = read_messages(*messages);
    if (!read) {
        return std::move(read).error();
    }
    chat.messages = *std::move(read);
    return {};
}

Result<void> read_offers(const SortedJson& body, Chat& chat) {
    if (const SortedJson* tools = member(body, "tools")) {
        if (!tools->is_array()) {
            return wrong("tools", "a list");
        }
        Result<std::vector<ToolSpec>> read = read_tools(*tools);
        if (!read) {
            return std::move(read).error();
        }
        chat.tools = *std::move(read);
    }
    if (const SortedJson* choice = member(body, "tool_choice")) {
        if (!choice->is_string() && !choice->is_object()) {
            return wrong("tool_choice", "a text, such as \"auto\", or an object");
        }
        chat.tool_choice = line_of(*choice);
    }
    return {};
}

// What is left to the model.
Result<void> read_rest(const SortedJson& body, Chat& chat) {
    const SortedJson* temperature = member(body, "temperature");
    if (temperature != nullptr && !temperature->is_number()) {
        return wrong("temperature", "a number");
    }
    chat.deterministic = temperature != nullptr && temperature->get<double>() == 0;
    for (const auto& [name, value] : body.items()) {
        if (!contains(k_own, name)) {
            chat.options += (chat.options.empty() ? "{" : ",") + json_string(name) + ":" + line_of(value);
        }
    }
    chat.options += chat.options.empty() ? "" : "}";
    return {};
}

// What tells requests apart.
std::string fingerprint(const SortedJson& body) {
    std::string canonical;
    for (const auto& [name, value] : body.items()) {
        if (!contains(k_without_effect, name)) {
            canonical += json_string(name) + ":" + line_of(value) + ",";
        }
    }
    return to_hex(sha256(canonical));
}

Result<void> read_stream(const SortedJson& body, ChatRequest& request) {
    const Result<bool> stream = flag(body, "stream", "stream");
    if (!stream) {
        return stream.error();
    }
    request.question.stream = *stream;
    const SortedJson* options = member(body, "stream_options");
    if (options == nullptr) {
        return {};
    }
    if (!options->is_object()) {
        return wrong("stream_options", "an object");
    }
    const Result<bool> usage = flag(*options, "include_usage", "stream_options.include_usage");
    if (!usage) {
        return usage.error();
    }
    request.include_usage = *usage;
    return {};
}

}  // namespace

Result<ChatRequest> read_chat_request(const http::Request& request) {
    Result<SortedJson> parsed = read_object(request);
    if (!parsed) {
        return std::move(parsed).error();
    }
    const auto body = std::make_shared<const SortedJson>(*std::move(parsed));
    ChatRequest read;
    if (const SortedJson* model = member(*body, "model")) {
        if (!model->is_string()) {
            return wrong("model", "a text");
        }
        read.question.model = model->get<std::string>();
    }
    if (Result<void> streamed = read_stream(*body, read); !streamed) {
        return std::move(streamed).error();
    }
    const auto chat = std::make_shared<Chat>();
    for (const auto step : {read_conversation, read_offers, read_bounds, read_rest}) {
        if (Result<void> done = step(*body, *chat); !done) {
            return std::move(done).error();
        }
    }
    chat->fingerprint = [body] { return fingerprint(*body); };
    read.question.chat = chat;
    return read;
}

}  // namespace mt::api
