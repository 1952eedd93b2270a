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
    bool on_text(std::string_view piece) override {
        pieces.emplace_back(piece);
        return !on_piece || on_piece();
    }
    bool on_tool_call(const ToolCall& call) override {
        calls.push_back(call);
        return true;
    }
    [[nodiscard]] std::string text() const {
        std::string all;
        for (const std::string& piece : pieces) {
            all += piece;
        }
        return all;
    }

    std::vector<std::string> pieces{};
    std::vector<ToolCall> calls{};
    std::function<bool()> on_piece{};
};

/// An agent with everything it needs: by default Basic Corp with all tools and all features that tools need.
struct AgentFixture {
    explicit AgentFixture(std::shared_ptr<Model> given = nullptr) : model(std::move(given)) { build(); }

    /// Makes the agent anew, after a change of `profile` or `model`.
    void build() {
        agent = std::make_unique<Agent>(profile, model ? model : make_builtin_model(profile), tools, *store, clock);
    }

    Result<Answer> ask(std::string text, std::string session = "") {
        sink.pieces.clear();
        return agent->ask({std::move(text), std::move(session)}, sink, context);
    }

    /// The answer's text, or "CODE: message".
    std::string say(std::string text, std::string session = "") {
        Result<Answer> answer = ask(std::move(text), std::move(session));
        return answer ? answer->text : std::string(describe(answer.error().code).name) + ": " + answer.error().message;
    }

    FakeClock clock;
    MemoryStore store{clock};
    ToolBox tools = ToolBox::builtin();
    AgentProfile profile{"Basic Corp",
                         "Basic",
                         {"basic-chat", "advanced-analytics"},
                         {"calculator", "current_time", "remember", "recall", "analyze"}};
    std::shared_ptr<Model> model;
    std::stop_source stop;
    Context context{"tenant-basic", "request-1", "", stop.get_token()};
    CollectingSink sink;
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
