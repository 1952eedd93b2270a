#include "agent/model.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace mt {

namespace {

constexpr std::array<std::string_view, 5> k_roles{"system", "developer", "user", "assistant", "tool"};

}  // namespace

std::string_view to_string(Role role) {
    return k_roles[static_cast<std::size_t>(role)];
}

std::optional<Role> parse_role(std::string_view name) {
    const auto* found = std::find(k_roles.begin(), k_roles.end(), name);
    return found == k_roles.end() ? std::nullopt : std::optional(static_cast<Role>(found - k_roles.begin()));
}

Usage& Usage::operator+=(const Usage& other) {
    tokens_in += other.tokens_in;
    tokens_out += other.tokens_out;
    estimated = estimated || other.estimated;
    return *this;
}

std::int64_t estimate_tokens(std::string_view text) {
    return static_cast<std::int64_t>((text.size() + 3) / 4);
}

std::int64_t estimate_tokens(std::span<const Message> messages) {
    constexpr std::int64_t k_frame = 4;
    constexpr std::int64_t k_other_part = 1000;
    std::int64_t tokens = 0;
    for (const Message& message : messages) {
        tokens += k_frame + estimate_tokens(message.content) + message.other_parts * k_other_part;
        for (const ToolCall& call : message.tool_calls) {
            tokens += estimate_tokens(call.name) + estimate_tokens(call.arguments);
        }
    }
    return tokens;
}

std::int64_t estimate_tokens(const ToolSpec& tool) {
    return estimate_tokens(tool.name) + estimate_tokens(tool.description) + estimate_tokens(tool.parameters);
}

std::int64_t estimate_tokens(const CompletionRequest& request) {
    std::int64_t tokens = estimate_tokens(std::span<const Message>(request.messages));
    for (const ToolSpec* tool : request.tools) {
        tokens += estimate_tokens(*tool);
    }
    return tokens;
}

}  // namespace mt
