#pragma once

#include <string>
#include <vector>

#include "agent/model.h"

namespace mt {

/// One complete choice of an answer.
struct Choice {
    std::string text;
    std::string refusal;
    std::vector<ToolCall> tool_calls;
    std::string fields;         ///< JSON object, "" for none (ModelEvent::Kind::fields)
    std::string logprobs;       ///< JSON, "" for none
    std::string finish_reason;  ///< "" while it is not complete
};

/// Puts the events of an answer together. Not thread-safe.
class Assembly {
  public:
    void add(const ModelEvent& event);

    /// By number; there is at least one.
    [[nodiscard]] const std::vector<Choice>& choices() const { return m_choices; }
    [[nodiscard]] const Choice& first() const { return m_choices.front(); }

    /// A streamed answer may bring several of these; only the last is kept, as a complete one is told in one piece.
    [[nodiscard]] bool has_opaque_parts() const { return m_opaque; }

    void clear();

  private:
    std::vector<Choice> m_choices{1};
    bool m_opaque = false;
};

/// Tells `sink` a complete choice, in the order of a stream. False when the sink stopped it.
bool replay(const Choice& choice, int number, Sink& sink);

}  // namespace mt
