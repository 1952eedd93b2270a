#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/agent.h"
#include "agent/memory_store.h"
#include "agent/scripted_model.h"
#include "support/fake_clock.h"

namespace mt::test {

/// Keeps the pieces of an answer. `on_piece` runs after each; false stops the model.
class CollectingSink final : public Sink {
  public:
    bool on_event(const ModelEvent& event) override {
        assembly.add(event);
        if (event.kind == ModelEvent::Kind::finish) {
            return !on_finish || on_finish();
        }
        if (event.kind != ModelEvent::Kind::text) {
            return true;
        }
        pieces.emplace_back(event.text);
        return !on_piece || on_piece();
    }
    [[nodiscard]] const std::vector<ToolCall>& calls() const { return assembly.first().tool_calls; }
    [[nodiscard]] std::string text() const {
        std::string all;
        for (const std::string& piece : pieces) {
            all += piece;
        }
        return all;
    }

    std::vector<std::string> pieces{};
    Assembly assembly{};
    std::function<bool()> on_piece{};
    std::function<bool()> on_finish{};
};

/// An agent with everything it needs: by default Basic Corp with all tools and all features that tools need.
struct AgentFixture {
    explicit AgentFixture(std::shared_ptr<Model> given = nullptr) : model(std::move(given)) { build(); }

    /// Makes the agent anew, after a change of `profile` or `model`.
    void build() {
        agent = std::make_unique<Agent>(
            profile, std::vector<NamedModel>{{"builtin", model ? model : make_builtin_model(profile)}}, tools, *store,
            clock);
    }

    Result<Answer> ask(std::string text, std::string session = "") {
        return ask(Question{std::move(text), std::move(session)});
    }

    Result<Answer> ask(const Question& question) {
        sink.pieces.clear();
        sink.assembly.clear();
        used = {};
        Answer answer;
        Result<void> outcome = agent->ask(question, sink, answer, context);
        used = answer.usage;
        return outcome ? Result<Answer>(std::move(answer)) : Result<Answer>(std::move(outcome).error());
    }

    /// The answer's text, or "CODE: message".
    std::string say(std::string text, std::string session = "") {
        Result<Answer> answer = ask(std::move(text), std::move(session));
        return answer ? answer->choice.text
                      : std::string(describe(answer.error().code).name) + ": " + answer.error().message;
    }

    FakeClock clock;
    MemoryStore store{clock};
    std::shared_ptr<const ToolBox> tools = std::make_shared<const ToolBox>(ToolBox::builtin());
    AgentProfile profile{"Basic Corp",
                         "Basic",
                         {"basic-chat", "advanced-analytics"},
                         {"calculator", "current_time", "remember", "recall", "analyze"}};
    std::shared_ptr<Model> model;
    std::stop_source stop;
    Context context{"tenant-basic", "request-1", "", stop.get_token()};
    CollectingSink sink;
    Usage used{};  ///< of the last question, also when it failed
    std::unique_ptr<Agent> agent;
};

/// What stands between the first and the last two lines of the builtin model's answer.
inline std::string tool_lines(const std::string& answer) {
    const std::size_t start = answer.find('\n');
    const std::size_t end = answer.rfind("\nAvailable features: ");
    return start == std::string::npos || end == std::string::npos || start >= end
               ? ""
               : answer.substr(start + 1, end - start - 1);
}

}  // namespace mt::test
