#include "agent/agent.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace mt {
namespace {

Error client_gone() {
    return Error{Code::client_gone, "the client left before the answer was complete"};
}

// Between the model and the caller's sink: passes text on, always one piece behind, so that the last piece can wait
// until the turn is stored, and collects tool calls.
class HoldingSink final : public Sink {
  public:
    HoldingSink(Sink& out, const Context& context) : m_out(out), m_context(context) {}

    bool on_text(std::string_view piece) override {
        if (piece.empty()) {
            return !stopped();
        }
        if (m_step_text.empty() && !m_text.empty() && !m_text.ends_with('\n')) {
            // Text of an earlier step stays on its own line.
            m_held += '\n';
            m_text += '\n';
        }
        if (!release()) {
            return false;
        }
        m_held = piece;
        m_text += piece;
        m_step_text += piece;
        return !stopped();
    }

    bool on_tool_call(const ToolCall& call) override {
        m_calls.push_back(call);
        return !stopped();
    }

    /// Sends what is held back. False when the client left.
    bool release() {
        const std::string piece = std::exchange(m_held, {});
        if (!piece.empty() && !m_out.on_text(piece)) {
            m_refused = true;
        }
        return !stopped();
    }

    void begin_step() {
        m_step_text.clear();
        m_calls.clear();
    }

    [[nodiscard]] bool stopped() const { return m_refused || m_context.cancelled(); }
    [[nodiscard]] const std::string& text() const { return m_text; }
    [[nodiscard]] const std::string& step_text() const { return m_step_text; }
    [[nodiscard]] const std::vector<ToolCall>& calls() const { return m_calls; }

  private:
    Sink& m_out;
    const Context& m_context;
    std::string m_held{};
    std::string m_text{};       ///< all of the answer
    std::string m_step_text{};  ///< of the present model call
    std::vector<ToolCall> m_calls{};
    bool m_refused = false;
};

bool contains(const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// One question on its way through model and tools. Lives for one call of Agent::ask.
class Run {
  public:
    struct Parts {
        const AgentProfile& profile;
        Model& model;
        const ToolBox& tools;
        ToolEnvironment environment;
    };

    Run(const Parts& parts, Sink& sink, const Context& context)
        : m_parts(parts), m_context(context), m_sink(sink, context) {
        for (const auto& tool : parts.tools.tools()) {
            if (contains(parts.profile.tools, tool->spec().name) && has_feature(*tool)) {
                request.tools.push_back(&tool->spec());
            }
        }
    }

    /// Adds messages to the request until the model has answered; the last one is the answer.
    Result<void> converse() {
        for (int step = 0; step < m_parts.profile.max_steps; ++step) {
            if (Result<void> alive = check_alive(); !alive) {
                return alive;
            }
            m_sink.begin_step();
            const Result<Usage> usage = m_parts.model.complete(request, m_sink, m_context);
            if (!usage) {
                return usage.error();
            }
            count(*usage);
            // Only the last piece of the answer has to wait for the store.
            const bool is_answer = m_sink.calls().empty();
            if (m_sink.stopped() || (!is_answer && !m_sink.release())) {
                return client_gone();
            }
            request.messages.push_back({Role::assistant, m_sink.step_text(), m_sink.calls()});
            if (is_answer) {
                answer.text = m_sink.text();
                return {};
            }
            if (step + 1 == m_parts.profile.max_steps) {
                break;  // nobody would read the results
            }
            if (Result<void> ran = run_calls(); !ran) {
                return ran;
            }
        }
        return Error{Code::upstream,
                     fmt::format("the model gave no answer within {} steps", m_parts.profile.max_steps)};
    }

    /// Sends the piece that was held back.
    bool finish() { return m_sink.release(); }

    CompletionRequest request{};
    Answer answer{};

  private:
    [[nodiscard]] bool has_feature(const Tool& tool) const {
        return tool.feature().empty() || contains(m_parts.profile.features, tool.feature());
    }

    [[nodiscard]] Result<void> check_alive() const {
        if (m_context.cancelled()) {
            return client_gone();
        }
        if (m_parts.environment.clock.boot_ns() > m_context.deadline_ns) {
            return Error{Code::timeout, "the time for this request is over"};
        }
        return {};
    }

    void count(const Usage& usage) {
        answer.usage.tokens_in += usage.tokens_in;
        answer.usage.tokens_out += usage.tokens_out;
        answer.usage.estimated = answer.usage.estimated || usage.estimated;
    }

    Result<void> run_calls() {
        for (const ToolCall& call : m_sink.calls()) {
            if (Result<void> alive = check_alive(); !alive) {
                return alive;
            }
            Result<std::string> result = run_call(call);
            if (!result) {
                return result.error();
            }
            request.messages.push_back({Role::tool, std::move(*result), {}, call.id});
        }
        return {};
    }

    // The text for the model. Fails only where the request cannot go on.
    Result<std::string> run_call(const ToolCall& call) {
        Tool* tool = m_parts.tools.find(call.name);
        if (tool != nullptr && !has_feature(*tool)) {
            const std::string feature(tool->feature());
            return Error{
                Code::feature_required,
                fmt::format("the tool {} needs the feature {}, which the plan does not have", call.name, feature),
                feature};
        }
        if (tool == nullptr || !contains(m_parts.profile.tools, call.name)) {
            return fmt::format("error: there is no tool {}; the tools are: {}", quote(call.name), offered_names());
        }
        const Result<void> fits = ToolBox::check_arguments(*tool, call.arguments);
        if (!fits) {
            return fits.error().code == Code::invalid ? Result<std::string>("error: " + fits.error().message)
                                                      : fits.error();
        }
        answer.tools_used.push_back(call.name);
        answer.pure = answer.pure && tool->pure();
        Result<std::string> result = tool->call(call.arguments, m_parts.environment, m_context);
        if (!result && result.error().code == Code::invalid) {
            return "error: " + result.error().message;
        }
        return result;
    }

    [[nodiscard]] std::string offered_names() const {
        std::vector<std::string> names;
        for (const ToolSpec* spec : request.tools) {
            names.push_back(spec->name);
        }
        return names.empty() ? "none" : join(names, ", ");
    }

    Parts m_parts;
    const Context& m_context;
    HoldingSink m_sink;
};

}  // namespace

Agent::Agent(AgentProfile profile, std::shared_ptr<Model> model, const ToolBox& tools, Store& store, const Clock& clock)
    : m_profile(std::move(profile)),
      m_model(std::move(model)),
      m_tools(tools),
      m_store(store),
      m_clock(clock),
      m_sessions(store, clock) {}

Agent::~Agent() = default;

Result<Answer> Agent::ask(const Question& question, Sink& sink, const Context& context) {
    Run run({m_profile, *m_model, m_tools, {m_store, m_clock}}, sink, context);
    std::vector<Message>& messages = run.request.messages;
    if (!m_profile.system_prompt.empty()) {
        messages.push_back({Role::system, m_profile.system_prompt});
    }
    if (!question.session.empty()) {
        run.answer.pure = false;
        Result<std::vector<Message>> history = m_sessions.history(question.session, m_profile.max_history);
        if (!history) {
            return history.error();
        }
        std::move(history->begin(), history->end(), std::back_inserter(messages));
    }
    const auto first_of_turn = static_cast<std::ptrdiff_t>(messages.size());
    messages.push_back({Role::user, question.text});
    if (const Result<void> answered = run.converse(); !answered) {
        return answered.error();
    }
    if (!question.session.empty()) {
        const Result<void> kept =
            m_sessions.append(question.session, {messages.begin() + first_of_turn, messages.end()});
        if (!kept) {
            return kept.error();
        }
    }
    if (!run.finish()) {
        return client_gone();
    }
    return std::move(run.answer);
}

}  // namespace mt
