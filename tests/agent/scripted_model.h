#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/assembly.h"
#include "agent/model.h"

namespace mt::test {

/// One completion of a ScriptedModel: text in pieces, then tool calls.
struct ScriptedStep {
    std::vector<std::string> pieces{};
    std::vector<ToolCall> calls{};
    std::function<void()> before{};  ///< runs when the model is asked
    std::string finish_reason{};     ///< "" for "stop" or "tool_calls"
    std::optional<Error> fault{};    ///< the completion fails
};

/// A model that gives prepared completions one after the other (the last one again when they are used up) and keeps the
/// requests that it got. Every completion costs 10 tokens in and 3 out.
class ScriptedModel final : public Model {
  public:
    explicit ScriptedModel(std::vector<ScriptedStep> steps) : m_steps(std::move(steps)) {}

    Result<void> complete(const CompletionRequest& request, Sink& sink, Usage& usage, const Context& context) override {
        const ScriptedStep step = next(request);
        usage += Usage{10, 3, false};
        if (step.before) {
            step.before();
        }
        if (step.fault) {
            return *step.fault;
        }
        for (const std::string& piece : step.pieces) {
            if (context.cancelled() || !sink.on_event({.kind = ModelEvent::Kind::text, .text = piece})) {
                return Error{Code::client_gone, "stopped"};
            }
        }
        Choice calls;
        calls.tool_calls = step.calls;
        calls.finish_reason = !step.finish_reason.empty() ? step.finish_reason
                              : step.calls.empty()        ? "stop"
                                                          : "tool_calls";
        return replay(calls, 0, sink) ? Result<void>{} : Result<void>{Error{Code::client_gone, "stopped"}};
    }

    [[nodiscard]] bool deterministic() const override { return is_deterministic; }

    bool is_deterministic = true;

    [[nodiscard]] std::vector<CompletionRequest> requests() {
        const std::lock_guard lock(m_mutex);
        return m_requests;
    }

  private:
    ScriptedStep next(const CompletionRequest& request) {
        const std::lock_guard lock(m_mutex);
        m_requests.push_back(request);
        return m_steps[std::min(m_requests.size(), m_steps.size()) - 1];
    }

    std::mutex m_mutex;
    std::vector<ScriptedStep> m_steps;
    std::vector<CompletionRequest> m_requests{};
};

}  // namespace mt::test
