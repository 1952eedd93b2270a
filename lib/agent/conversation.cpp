#include "agent/conversation.h"

#include <algorithm>

#include "agent/arguments.h"
#include "agent/builtin_tools.h"
#include "agent/numbers.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr std::size_t k_nowhere = std::string_view::npos;

const ToolCall* find_call(const std::vector<Message>& messages, std::size_t result) {
    for (std::size_t i = result; i-- > 0;) {
        for (const ToolCall& call : messages[i].tool_calls) {
            if (call.id == messages[result].tool_call_id) {
                return &call;
            }
        }
    }
    return nullptr;
}

// The number after `name` and a blank in "count 3, sum 16, mean 5.3".
std::string_view piece_of(std::string_view line, std::string_view name) {
    for (std::size_t at = 0; at < line.size();) {
        const std::size_t end = std::min(line.find(", ", at), line.size());
        const std::string_view piece = line.substr(at, end - at);
        if (piece.starts_with(name) && piece.size() > name.size() && piece[name.size()] == ' ') {
            const std::string_view rest = piece.substr(name.size() + 1);
            return rest.substr(0, rest.find(' '));
        }
        at = end + 2;
    }
    return "";
}

// The line of an analysis that is about `column`, without the column's name; any column when there is only one.
std::string_view line_about(std::string_view analysis, std::string_view column) {
    const bool single = analysis.find('\n') == k_nowhere;
    for (std::size_t at = 0; at < analysis.size();) {
        const std::size_t end = std::min(analysis.find('\n', at), analysis.size());
        const std::string_view line = analysis.substr(at, end - at);
        const std::size_t colon = line.rfind(": count ");
        const std::string name = colon == k_nowhere ? "" : to_lower(line.substr(0, colon));
        if (name == column || (single && column.empty())) {
            return colon == k_nowhere ? line : line.substr(colon + 2);
        }
        at = end + 1;
    }
    return "";
}

}  // namespace

Conversation::Conversation(const std::vector<Message>& messages) {
    for (std::size_t i = 0; i < messages.size(); ++i) {
        const Message& message = messages[i];
        if (message.role == Role::user) {
            m_previous = i > 0 && m_question.data() != nullptr ? std::optional(m_question) : std::nullopt;
            m_question = message.content;
            m_first_of_turn = m_results.size();
        } else if (message.role == Role::tool) {
            const ToolCall* call = find_call(messages, i);
            m_results.push_back({call == nullptr ? "tool" : std::string_view(call->name),
                                 call == nullptr ? "" : std::string_view(call->arguments), message.content});
        }
    }
}

std::vector<ToolResult> Conversation::turn_results() const {
    return {m_results.begin() + static_cast<std::ptrdiff_t>(m_first_of_turn), m_results.end()};
}

std::optional<std::string> Conversation::newest() const {
    if (m_results.empty() || m_results.back().failed() || m_results.back().text.starts_with(k_nothing_remembered)) {
        return std::nullopt;
    }
    const ToolResult& result = m_results.back();
    return result.tool == "remember" ? text_argument(std::string(result.arguments), "value") : std::string(result.text);
}

std::optional<std::string> Conversation::statistic(std::string_view reference) const {
    const std::size_t of = reference.find(" of ");
    const std::string_view name = reference.substr(0, of);
    const std::string_view column = of == k_nowhere ? "" : reference.substr(of + 4);
    const auto newest = std::find_if(m_results.rbegin(), m_results.rend(), [](const ToolResult& result) {
        return result.tool == "analyze" && !result.failed();
    });
    if (newest == m_results.rend()) {
        return std::nullopt;
    }
    const std::string_view number = piece_of(line_about(newest->text, column), name);
    return number.empty() ? std::nullopt : std::optional(std::string(number));
}

std::optional<std::string> Conversation::look_up(std::string_view reference) const {
    return reference == "it" ? newest() : statistic(reference);
}

std::optional<std::string> Conversation::resolve(std::string_view text) const {
    if (text.starts_with('{') && text.find('}') == text.size() - 1) {
        return look_up(text.substr(1, text.size() - 2));
    }
    std::string resolved;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t open = std::min(text.find('{', at), text.size());
        const std::size_t close = std::min(text.find('}', open), text.size());
        resolved += text.substr(at, open - at);
        if (open < text.size()) {
            const std::optional<std::string> found = look_up(text.substr(open + 1, close - open - 1));
            if (!found || !parse_number(trim(*found))) {
                return std::nullopt;
            }
            const std::string number(trim(*found));
            // A sign binds less than a power: (-3)^2.
            resolved += number.front() == '-' || number.front() == '+' ? "(" + number + ")" : number;
        }
        at = close + 1;
    }
    return resolved;
}

}  // namespace mt
