#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model.h"

namespace mt {

/// A tool's result in a conversation. Views point into the messages.
struct ToolResult {
    std::string_view tool;
    std::string_view arguments;  ///< JSON text of the call
    std::string_view text;

    /// The tool could not do it, or the call was refused.
    [[nodiscard]] bool failed() const { return text.starts_with("error:"); }
};

/// What the builtin model reads out of the messages: the present turn (from the last user message on) and, for "it" and
/// "the mean", all earlier results. Keeps views: the messages must outlive it.
class Conversation {
  public:
    explicit Conversation(const std::vector<Message>& messages);

    /// Text of the last user message, "" when there is none.
    [[nodiscard]] std::string_view question() const { return m_question; }
    /// The user message before that.
    [[nodiscard]] std::optional<std::string_view> previous_question() const { return m_previous; }
    /// Results of the present turn, in order.
    [[nodiscard]] std::vector<ToolResult> turn_results() const;
    /// Results of the whole conversation, in order.
    [[nodiscard]] const std::vector<ToolResult>& results() const { return m_results; }

    /// Text with {references} (arithmetic_words.h) resolved. One that is the whole text becomes that result's text;
    /// inside an expression it becomes a number in full precision. Absent when there is nothing it can refer to.
    [[nodiscard]] std::optional<std::string> resolve(std::string_view text) const;

  private:
    [[nodiscard]] std::optional<std::string> newest() const;
    [[nodiscard]] std::optional<std::string> statistic(std::string_view reference) const;
    [[nodiscard]] std::optional<std::string> look_up(std::string_view reference) const;

    std::string_view m_question;
    std::optional<std::string_view> m_previous;
    std::vector<ToolResult> m_results;
    std::size_t m_first_of_turn = 0;  ///< index in m_results
};

}  // namespace mt
