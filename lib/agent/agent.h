#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/assembly.h"
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
    int max_steps = 8;                ///< model calls for one question
    int max_history = 40;             ///< messages of a session that the model is shown
    std::int64_t history_tokens = 0;  ///< tokens of a session that the model is shown, 0: unlimited
};

/// A model under the name by which a tenant's clients choose it.
struct NamedModel {
    std::string name;
    std::shared_ptr<Model> model;
    std::int64_t max_tokens = 0;            ///< of an answer when the client names none; 0: the model's own bound
    std::string_view owned_by = "mtagent";  ///< mtagent | operator | tenant
};

/// What a client of a chat API sends beside the bare question.
struct Chat {
    std::vector<Message> messages;               ///< the whole conversation, as the client keeps it
    std::vector<ToolSpec> tools{};               ///< functions of the client: their calls are returned to it
    std::string tool_choice{};                   ///< JSON text, "" when the client said nothing
    std::string options{};                       ///< JSON object of all further fields for the model, "" for none
    std::function<std::string()> fingerprint{};  ///< the same for requests that ask for the same answer; worked out
                                                 ///< only where an answer may be kept
    std::int64_t max_tokens = 0;                 ///< of the answer; 0: the client named none
    int choices = 1;                             ///< answers wanted
    bool deterministic = false;                  ///< temperature 0: the client wants the same answer each time

    /// nullptr when the client has none of that name.
    [[nodiscard]] const ToolSpec* find_tool(std::string_view name) const;
};

struct Question {
    std::string text;
    std::string session{};               ///< empty: no conversation is kept
    std::string model{};                 ///< empty or "default": the tenant's own
    bool stream = false;                 ///< somebody reads along
    std::shared_ptr<const Chat> chat{};  ///< then `text` is empty, and so is `session`
    std::int64_t max_tokens = 0;         ///< bound of the answer by the tenant's limits; 0: none
};

/// What came out of one question.
struct Answer {
    Choice choice{};  ///< the first one, its text over all steps
    Usage usage{};
    std::vector<std::string> tools_used{};
    std::string model{};     ///< name of the model that was asked
    bool pure = true;        ///< no session, and only pure tools ran
    bool cacheable = false;  ///< pure, complete, and nothing in it that only a client understands
};

/// Upper bounds of what a question may use.
struct TokenBound {
    std::int64_t prompt = 0;
    std::int64_t answer = 0;   ///< of one choice; 0: nobody has named one
    std::int64_t choices = 1;  ///< answers wanted
};

/// The agent of ONE tenant: history -> model -> tool calls -> model ... -> answer, bounded in steps and time.
/// Thread-safe.
class Agent {
  public:
    /// `models`: at least one, the tenant's default first. `store` and `clock` must outlive the agent.
    Agent(AgentProfile profile, std::vector<NamedModel> models, std::shared_ptr<const ToolBox> tools, Store& store,
          const Clock& clock);
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;
    ~Agent();

    /// Answers one question; events of the answer go to `sink` as they come: texts of all steps, calls of the client's
    /// own tools, and the finish events last. With a session the turn is kept before those are out. A malformed call, a
    /// call of an unknown tool, or arguments that do not fit go back to the model as an error text. A turn that calls a
    /// tool of the client ends the answer: its calls of the tenant's own tools are dropped. In the last step no tools
    /// of the tenant are offered. `answer` is filled in as things happen: its usage holds on failure, too. Errors:
    /// not_found (no such model), feature_required with `reason` = the feature (the model needs a tool that the plan
    /// lacks), timeout (the deadline passed), client_gone, storage_full, upstream (max_steps used up without an
    /// answer), and what the model says.
    Result<void> ask(const Question& question, Sink& sink, Answer& answer, const Context& context);

    /// The model of that name, the default one for "" and "default". Errors: not_found with reason model_not_found.
    [[nodiscard]] Result<const NamedModel*> find_model(std::string_view name) const;
    [[nodiscard]] const std::vector<NamedModel>& models() const { return m_models; }

    /// What `question` may use at most in one step: the prompt with 2 bytes per token, twice of what texts really need;
    /// to the prompt of a language model belong the tools that it is offered.
    [[nodiscard]] TokenBound bound(const Question& question) const;

    [[nodiscard]] const AgentProfile& profile() const { return m_profile; }
    /// The conversations, for one request.
    [[nodiscard]] Sessions sessions() { return {m_store, m_clock}; }

  private:
    AgentProfile m_profile;
    std::vector<NamedModel> m_models;
    std::shared_ptr<const ToolBox> m_tools;
    Store& m_store;
    const Clock& m_clock;
};

/// The model without weights: answers in the words of the reference example and calls tools by rule, so that everything
/// runs offline. See builtin_model.cpp for the rules. What it cannot do (several choices, response formats, forced
/// tools, parts that are no text, log probabilities) is invalid, with `param`.
std::shared_ptr<Model> make_builtin_model(const AgentProfile& profile);

}  // namespace mt
