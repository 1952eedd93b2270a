#include "agent/builtin_ability.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/text.h"

namespace mt {
namespace {

using Json = nlohmann::json;

Error impossible(std::string_view param, std::string_view why) {
    return Error{
        Code::invalid, fmt::format("the model 'builtin' {}", why), "unsupported_parameter", {}, std::string(param)};
}

// Tunes the words or is meant for the service around a model.
bool is_harmless(std::string_view name) {
    constexpr std::array<std::string_view, 14> k_names{"temperature",
                                                       "top_p",
                                                       "presence_penalty",
                                                       "frequency_penalty",
                                                       "seed",
                                                       "user",
                                                       "metadata",
                                                       "service_tier",
                                                       "safety_identifier",
                                                       "prompt_cache_key",
                                                       "reasoning_effort",
                                                       "store",
                                                       "parallel_tool_calls",
                                                       "verbosity"};
    return std::find(k_names.begin(), k_names.end(), name) != k_names.end();
}

// Says what the model does anyway.
bool is_default(std::string_view name, const Json& value) {
    return value.is_null() || value == false || (name == "n" && value == 1) ||
           (name == "response_format" && value.is_object() && value.value("type", Json{}) == "text") ||
           (name == "modalities" && value == Json::array({"text"})) ||
           ((name == "logit_bias" || name == "stop") && value.empty()) || (name == "top_logprobs" && value == 0);
}

}  // namespace

Result<void> check_possible(const CompletionRequest& request) {
    for (const Message& message : request.messages) {
        if (message.other_parts > 0) {
            return impossible("messages", "reads text only");
        }
    }
    if (!request.tool_choice.empty() && request.tool_choice != "\"auto\"" && request.tool_choice != "\"none\"") {
        return impossible("tool_choice", "calls tools by its own rules: tool_choice is to be auto or none");
    }
    if (request.options.empty()) {
        return {};
    }
    const Json options = Json::parse(request.options, nullptr, false);
    for (const auto& [name, value] : options.items()) {
        if (!is_harmless(name) && !is_default(name, value)) {
            return impossible(name, fmt::format("cannot do what {} asks for", quote(name)));
        }
    }
    return {};
}

std::optional<ToolCall> named_call(const Conversation& conversation, const std::vector<const ToolSpec*>& offered) {
    constexpr std::string_view k_word = "call ";
    const std::string_view question = trim(conversation.question());
    if (to_lower(question.substr(0, k_word.size())) != k_word || !conversation.turn_results().empty()) {
        return std::nullopt;
    }
    const std::string_view rest = trim(question.substr(k_word.size()));
    const std::size_t end = std::min(rest.find_first_of(" {"), rest.size());
    const std::string_view name = rest.substr(0, end);
    const std::string_view arguments = trim(rest.substr(end));
    const bool is_offered =
        std::any_of(offered.begin(), offered.end(), [&](const ToolSpec* spec) { return spec->name == name; });
    if (!is_offered || !(arguments.empty() || arguments.front() == '{')) {
        return std::nullopt;
    }
    return ToolCall{fmt::format("call_{}", conversation.results().size() + 1), std::string(name),
                    arguments.empty() ? "{}" : std::string(arguments)};
}

}  // namespace mt
