#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model.h"
#include "agent/session.h"
#include "agent/tool.h"
#include "base/clock.h"
#include "base/context.h"
#include "base/result.h"
#include "storage/store.h"

namespace mt {

/// How the agent of one tenant is set up.
struct AgentProfile {
    std::string name;                     ///< display name of the tenant: "Basic Corp"
    std::string tier;                     ///< "Basic", "Professional", "Enterprise"
    std::vector<std::string> features{};  ///< in the order of the configuration
    std::vector<std::string> tools{};     ///< names of the tools it may use
    std::string system_prompt{};
    int max_steps = 8;     ///< model calls for one question
    int max_history = 40;  ///< messages of a session that the model is shown
};

struct Question {
    std::string text;
    std::string session{};  ///< empty: no conversation is kept
};

/// What came out of one question.
struct Answer {
    std::string text;
    Usage usage{};
    std::vector<std::string> tools_used{};
    bool pure = true;  ///< no session and only pure tools: the answer is a function of the question
};

/// The agent of ONE tenant: history -> model -> tool calls -> model ... -> answer, bounded in steps and time.
/// Thread-safe.
class Agent {
  public:
    /// All references must outlive the agent.
    Agent(AgentProfile profile, std::shared_ptr<Model> model, const ToolBox& tools, Store& store, const Clock& clock);
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;
    ~Agent();

    /// Answers one question; pieces of the final answer go to `sink` as they come (on_text only). With a session the
    /// turn is kept before the last piece is out. A malformed call, a call of an unknown tool, or arguments that do not
    /// fit go back to the model as an error text.
    /// Errors: feature_required with `reason` = the feature (the model needs a tool that the plan lacks), timeout (the
    /// deadline passed), client_gone, storage_full, upstream (max_steps used up without an answer).
    Result<Answer> ask(const Question& question, Sink& sink, const Context& context);

    [[nodiscard]] const AgentProfile& profile() const { return m_profile; }
    Sessions& sessions() { return m_sessions; }

  private:
    AgentProfile m_profile;
    std::shared_ptr<Model> m_model;
    const ToolBox& m_tools;
    Store& m_store;
    const Clock& m_clock;
    Sessions m_sessions;
};

/// The model without weights: answers in the words of the reference example and calls tools by rule, so that everything
/// runs offline. See builtin_model.cpp for the rules.
std::shared_ptr<Model> make_builtin_model(const AgentProfile& profile);

}  // namespace mt
