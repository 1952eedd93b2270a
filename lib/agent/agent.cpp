#include "agent/agent.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/step_sink.h"
#include "base/text.h"
#include "base/trace.h"

namespace mt {
namespace {

Error client_gone() {
    return Error{Code::client_gone, "the client left before the answer was complete"};
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// One question on its way through model and tools. Lives for one call of Agent::ask.
class Run {
  public:
    struct Parts {
        const AgentProfile& profile;
        const NamedModel& model;
        const ToolBox& tools;
        ToolEnvironment environment;
        const Question& question;
    };

    Run(const Parts& parts, Sink& sink, Answer& answer, const Context& context)
        : m_parts(parts), m_context(context), m_answer(answer), m_sink(sink, parts.question.chat.get(), context) {
        const Chat* chat = parts.question.chat.get();
        if (chat != nullptr) {
            request.tool_choice = chat->tool_choice;
            request.options = chat->options;
            for (const ToolSpec& spec : chat->tools) {
                request.tools.push_back(&spec);
            }
        }
        m_client_tools = request.tools.size();
        request.stream = parts.question.stream;
        // With several choices there is no one conversation to go on with.
        for (const auto& tool : parts.tools.tools()) {
            if ((chat == nullptr || chat->choices == 1) && is_offered(*tool)) {
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
            const bool last = step + 1 == m_parts.profile.max_steps;
            if (Result<void> done = take_step(step, last); !done) {
                return done;
            }
            Choice turn = m_sink.step().first();
            const bool is_answer = turn.tool_calls.empty() || m_sink.is_for_client();
            if (is_answer) {
                request.messages.push_back({Role::assistant, turn.text, turn.tool_calls});
                keep(std::move(turn));
                return {};
            }
            request.messages.push_back({Role::assistant, std::move(turn.text), turn.tool_calls});
            if (last) {
                break;  // nobody would read the results
            }
            if (Result<void> ran = run_calls(turn.tool_calls); !ran) {
                return ran;
            }
        }
        return Error{Code::upstream,
                     fmt::format("the model gave no answer within {} steps", m_parts.profile.max_steps)};
    }

    /// Sends the finish events, which were held back.
    bool finish() { return m_sink.finish(); }

    CompletionRequest request{};

  private:
    [[nodiscard]] bool has_feature(const Tool& tool) const {
        return tool.feature().empty() || contains(m_parts.profile.features, tool.feature());
    }

    // A tool of the client hides one of the tenant of the same name.
    [[nodiscard]] bool is_offered(const Tool& tool) const {
        const Chat* chat = m_parts.question.chat.get();
        const std::string& name = tool.spec().name;
        return contains(m_parts.profile.tools, name) && has_feature(tool) &&
               (chat == nullptr || chat->find_tool(name) == nullptr);
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

    // The bound of the whole answer goes down by what earlier steps have written.
    [[nodiscard]] std::int64_t answer_bound() const {
        const Chat* chat = m_parts.question.chat.get();
        std::int64_t bound = chat != nullptr && chat->max_tokens > 0 ? chat->max_tokens : m_parts.model.max_tokens;
        if (m_parts.question.max_tokens > 0) {
            bound = bound > 0 ? std::min(bound, m_parts.question.max_tokens) : m_parts.question.max_tokens;
        }
        return bound > 0 ? std::max<std::int64_t>(1, bound - m_answer.usage.tokens_out) : 0;
    }

    Result<void> take_step(int step, bool last) {
        m_sink.begin_step();
        request.max_tokens = answer_bound();
        if (last) {
            request.tools.resize(m_client_tools);
        }
        Result<void> done = m_parts.model.model->complete(request, m_sink, m_answer.usage, m_context);
        if (done && m_sink.stopped()) {
            return client_gone();
        }
        if (step == 0 && request.tool_choice != "\"none\"") {
            request.tool_choice.clear();  // who must call a tool has done so; forced again, it would never answer
        }
        return done;
    }

    void keep(Choice turn) {
        m_answer.choice = std::move(turn);
        m_answer.choice.text = m_sink.text();
        m_answer.choice.finish_reason = m_sink.finish_reason();
        if (m_sink.is_for_client()) {
            std::erase_if(m_answer.choice.tool_calls,
                          [&](const ToolCall& call) { return m_parts.question.chat->find_tool(call.name) == nullptr; });
        }
        m_answer.cacheable = m_answer.pure && m_sink.step().choices().size() == 1 && !m_sink.step().has_opaque_parts();
    }

    Result<void> run_calls(const std::vector<ToolCall>& calls) {
        for (const ToolCall& call : calls) {
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
        // It was not offered: a language model has made it up, the rules of the builtin one mean it.
        if (tool != nullptr && !has_feature(*tool) && m_parts.model.model->deterministic()) {
            const std::string feature(tool->feature());
            return Error{
                Code::feature_required,
                fmt::format("the tool {} needs the feature {}, which the plan does not have", call.name, feature),
                feature};
        }
        if (tool == nullptr || !has_feature(*tool) || !contains(m_parts.profile.tools, call.name)) {
            return fmt::format("error: there is no tool {}; the tools are: {}", quote(call.name), offered_names());
        }
        const Result<void> fits = ToolBox::check_arguments(*tool, call.arguments);
        if (!fits) {
            return fits.error().code == Code::invalid ? Result<std::string>("error: " + fits.error().message)
                                                      : fits.error();
        }
        m_answer.tools_used.push_back(call.name);
        m_answer.pure = m_answer.pure && tool->pure();
        Result<std::string> result = execute(*tool, call);
        if (!result && result.error().code == Code::invalid) {
            return "error: " + result.error().message;
        }
        return result;
    }

    Result<std::string> execute(Tool& tool, const ToolCall& call) {
        Span span(m_context.trace, SpanKind::internal, "execute_tool", call.name);
        if (span.recording()) {
            span.set("gen_ai.operation.name", "execute_tool");
            span.set("gen_ai.tool.name", call.name);
            span.set("gen_ai.tool.call.id", call.id);
            span.set("gen_ai.tool.type", "function");
        }
        Result<std::string> result = tool.call(call.arguments, m_parts.environment, m_context);
        if (!result) {
            span.fail(describe(result.error().code).name);
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
    Answer& m_answer;
    StepSink m_sink;
    std::size_t m_client_tools = 0;
};

std::int64_t bound_of(std::string_view text) {
    constexpr std::int64_t k_frame = 8;
    return static_cast<std::int64_t>((text.size() + 1) / 2) + k_frame;
}

// Everything that goes to the model's server, but what a picture or sound is made of.
std::int64_t bound_of(const Chat& chat) {
    constexpr std::int64_t k_other_part = 1000;
    std::int64_t bound = bound_of(chat.options) + bound_of(chat.tool_choice);
    for (const Message& message : chat.messages) {
        const bool whole = message.other_parts == 0 && !message.verbatim.empty();
        bound += bound_of(whole ? message.verbatim : message.content) + message.other_parts * k_other_part;
        for (const ToolCall& call : message.tool_calls) {
            bound += bound_of(call.name) + bound_of(call.arguments);
        }
    }
    for (const ToolSpec& tool : chat.tools) {
        bound +=
            tool.verbatim.empty() ? bound_of(tool.description) + bound_of(tool.parameters) : bound_of(tool.verbatim);
    }
    return bound;
}

}  // namespace

Agent::Agent(AgentProfile profile, std::vector<NamedModel> models, std::shared_ptr<const ToolBox> tools, Store& store,
             const Clock& clock)
    : m_profile(std::move(profile)),
      m_models(std::move(models)),
      m_tools(std::move(tools)),
      m_store(store),
      m_clock(clock) {}

Agent::~Agent() = default;

const ToolSpec* Chat::find_tool(std::string_view name) const {
    const auto found =
        std::find_if(tools.begin(), tools.end(), [&](const ToolSpec& tool) { return tool.name == name; });
    return found == tools.end() ? nullptr : &*found;
}

Result<const NamedModel*> Agent::find_model(std::string_view name) const {
    if (name.empty() || name == "default") {
        return &m_models.front();
    }
    const auto found =
        std::find_if(m_models.begin(), m_models.end(), [&](const NamedModel& model) { return model.name == name; });
    if (found == m_models.end()) {
        return Error{Code::not_found,
                     fmt::format("the model {} does not exist or is not open to this tenant", quote(name)),
                     "model_not_found",
                     {},
                     "model"};
    }
    return &*found;
}

TokenBound Agent::bound(const Question& question) const {
    TokenBound bound;
    bound.prompt = bound_of(m_profile.system_prompt) + bound_of(question.text);
    if (question.chat) {
        bound.prompt += bound_of(*question.chat);
        bound.answer = question.chat->max_tokens;
        bound.choices = question.chat->choices;
    }
    if (!question.session.empty()) {
        bound.prompt += m_profile.history_tokens;
    }
    const Result<const NamedModel*> model = find_model(question.model);
    if (model && bound.answer == 0) {
        bound.answer = (*model)->max_tokens;
    }
    if (model && !(*model)->model->deterministic()) {  // the builtin one does not read them
        for (const auto& tool : m_tools->tools()) {
            bound.prompt += contains(m_profile.tools, tool->spec().name) ? estimate_tokens(tool->spec()) : 0;
        }
    }
    return bound;
}

Result<void> Agent::ask(const Question& question, Sink& sink, Answer& answer, const Context& context) {
    const Result<const NamedModel*> model = find_model(question.model);
    if (!model) {
        return model.error();
    }
    answer.model = (*model)->name;
    answer.pure = question.session.empty();
    Sessions sessions(m_store, m_clock);
    Run run({m_profile, **model, *m_tools, {sessions.store(), m_clock}, question}, sink, answer, context);
    std::vector<Message>& messages = run.request.messages;
    if (!m_profile.system_prompt.empty()) {
        messages.push_back({Role::system, m_profile.system_prompt});
    }
    if (!question.session.empty()) {
        Result<std::vector<Message>> history =
            sessions.history(question.session, m_profile.max_history, m_profile.history_tokens);
        if (!history) {
            return history.error();
        }
        std::move(history->begin(), history->end(), std::back_inserter(messages));
    }
    const auto first_of_turn = static_cast<std::ptrdiff_t>(messages.size());
    if (question.chat) {
        messages.insert(messages.end(), question.chat->messages.begin(), question.chat->messages.end());
    } else {
        messages.push_back({Role::user, question.text});
    }
    if (Result<void> answered = run.converse(); !answered) {
        return answered;
    }
    if (!question.session.empty()) {
        Result<void> kept = sessions.append(question.session, {messages.begin() + first_of_turn, messages.end()});
        if (!kept) {
            return kept;
        }
    }
    return run.finish() ? Result<void>{} : Result<void>{client_gone()};
}

}  // namespace mt
