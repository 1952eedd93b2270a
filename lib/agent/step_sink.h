#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "agent/agent.h"
#include "agent/assembly.h"
#include "agent/model.h"
#include "base/context.h"

namespace mt {

/// Between the model and the caller's sink, for one question: passes everything on at once but the calls of the
/// tenant's own tools, which are kept, and the finish events, which wait until the turn is stored. Used by one thread.
class StepSink final : public Sink {
  public:
    /// `chat` may be null. All must outlive this.
    StepSink(Sink& out, const Chat* chat, const Context& context) : m_out(out), m_chat(chat), m_context(context) {}

    bool on_event(const ModelEvent& event) override;

    /// The model is about to be asked again.
    void begin_step();

    /// Sends what was held back. False when the client left.
    bool finish();

    /// Why the first choice ended; servers are not always right about it.
    [[nodiscard]] std::string_view finish_reason() const { return reason_of(m_step.first(), 0); }

    [[nodiscard]] bool stopped() const { return m_refused || m_context.cancelled(); }
    /// True when this step has called a tool of the client.
    [[nodiscard]] bool is_for_client() const { return !m_client_calls.empty(); }
    /// What the model has said in this step.
    [[nodiscard]] const Assembly& step() const { return m_step; }
    /// Text of the first choice over all steps.
    [[nodiscard]] const std::string& text() const { return m_text; }

  private:
    [[nodiscard]] std::string_view reason_of(const Choice& choice, int number) const;
    bool pass(const ModelEvent& event);
    bool pass_text(const ModelEvent& event);
    bool pass_call(const ModelEvent& event);

    Sink& m_out;
    const Chat* m_chat;
    const Context& m_context;
    Assembly m_step{};
    std::map<std::pair<int, int>, int> m_client_calls{};  ///< choice and index of the model -> index for the client
    std::string m_text{};
    bool m_refused = false;
};

}  // namespace mt
