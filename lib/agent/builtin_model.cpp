#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/agent.h"
#include "agent/arguments.h"
#include "agent/builtin_ability.h"
#include "agent/builtin_rules.h"
#include "agent/builtin_tools.h"
#include "agent/conversation.h"
#include "agent/numbers.h"
#include "base/text.h"

namespace mt {
namespace {

bool is_number_character(char c) {
    return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || c == 'e';
}

// Numbers of more than 15 significant digits as people read them (format_number); everything else as it is.
std::string shorten_numbers(std::string_view text) {
    constexpr std::size_t k_short = 15;
    std::string shortened;
    while (!text.empty()) {
        const auto* stop = std::find_if_not(text.begin(), text.end(), is_number_character);
        const std::string_view run = text.substr(0, static_cast<std::size_t>(stop - text.begin()));
        const std::optional<double> number = run.size() > k_short ? parse_number(run) : std::nullopt;
        shortened += number ? format_number(*number) : std::string(run);
        text.remove_prefix(run.size());
        const std::size_t rest =
            static_cast<std::size_t>(std::find_if(text.begin(), text.end(), is_number_character) - text.begin());
        shortened += text.substr(0, rest);
        text.remove_prefix(rest);
    }
    return shortened;
}

std::string indent_more_lines(std::string_view text) {
    std::string indented;
    for (const char c : text) {
        indented += c;
        indented += c == '\n' ? "  " : "";
    }
    return indented;
}

std::string result_line(const ToolResult& result) {
    const bool computed = result.tool == "calculator" || result.tool == "analyze";
    const std::string text = computed && !result.failed() ? shorten_numbers(result.text) : std::string(result.text);
    return fmt::format("{}: {}\n", result.tool, indent_more_lines(text));
}

// Answers in three lines, with a line per tool result after the first, and calls tools by the rules of builtin_rules.h,
// one at a time: the plan is read from the last user message, the results so far say how far it has come. A failed or
// refused call ends the plan. Reads nothing but the request, so it is deterministic and thread-safe.
class BuiltinModel final : public Model {
  public:
    explicit BuiltinModel(const AgentProfile& profile)
        : m_name(profile.name),
          m_closing(fmt::format("Processing with {} tier configuration", profile.tier)),
          m_features(fmt::format("Available features: [{}]\n", join(profile.features, " "))) {}

    Result<void> complete(const CompletionRequest& request, Sink& sink, Usage& usage, const Context& context) override {
        if (context.cancelled()) {
            return gone();
        }
        if (Result<void> possible = check_possible(request); !possible) {
            return possible;
        }
        Usage used{0, 0, true};
        for (const Message& message : request.messages) {
            used.tokens_in += estimate_tokens(message.content);
            for (const ToolCall& call : message.tool_calls) {
                used.tokens_in += estimate_tokens(call.arguments);
            }
        }
        usage += used;
        const Conversation conversation(request.messages);
        const bool may_call = request.tool_choice != "\"none\"";
        if (const std::optional<ToolCall> call = may_call ? next_call(conversation, request.tools) : std::nullopt) {
            usage.tokens_out += estimate_tokens(call->name) + estimate_tokens(call->arguments);
            return tell_call(*call, sink);
        }
        return stream(answer(make_plan(conversation.question()), conversation), request.max_tokens, sink, usage,
                      context);
    }

    [[nodiscard]] bool deterministic() const override { return true; }

  private:
    static Error gone() { return Error{Code::client_gone, "the client left before the answer was complete"}; }

    static Result<void> tell_call(const ToolCall& call, Sink& sink) {
        using Kind = ModelEvent::Kind;
        const bool taken = sink.on_event({.kind = Kind::tool_call, .id = call.id, .name = call.name, .more = true}) &&
                           sink.on_event({.kind = Kind::tool_arguments, .text = call.arguments, .more = true}) &&
                           sink.on_event({.kind = Kind::finish, .text = "tool_calls"});
        return taken ? Result<void>{} : Result<void>{gone()};
    }

    static std::optional<ToolCall> next_call(const Conversation& conversation,
                                             const std::vector<const ToolSpec*>& offered) {
        if (std::optional<ToolCall> named = named_call(conversation, offered)) {
            return named;
        }
        const Plan plan = make_plan(conversation.question());
        const std::vector<ToolResult> done = conversation.turn_results();
        if (done.size() >= plan.calls.size() || (!done.empty() && done.back().failed())) {
            return std::nullopt;
        }
        const PlannedCall& next = plan.calls[done.size()];
        const bool is_offered = std::any_of(offered.begin(), offered.end(),
                                            [&next](const ToolSpec* spec) { return spec->name == next.tool; });
        if (next.tentative && !is_offered) {
            return std::nullopt;
        }
        TextArguments arguments;
        for (const PlannedArgument& argument : next.arguments) {
            std::optional<std::string> text = argument.refers ? conversation.resolve(argument.text) : argument.text;
            if (!text) {
                return std::nullopt;
            }
            arguments.emplace_back(argument.name, std::move(*text));
        }
        return ToolCall{fmt::format("call_{}", conversation.results().size() + 1), next.tool,
                        write_arguments(arguments)};
    }

    // The answer in the pieces in which it is sent.
    [[nodiscard]] std::vector<std::string> answer(const Plan& plan, const Conversation& conversation) const {
        std::vector<std::string> lines{fmt::format("[{}] Received: {}\n", m_name, conversation.question())};
        const std::vector<ToolResult> results = conversation.turn_results();
        for (std::size_t i = 0; i < results.size(); ++i) {
            const bool guess = i < plan.calls.size() && plan.calls[i].tentative;
            if (!guess || !(results[i].failed() || results[i].text.starts_with(k_nothing_remembered))) {
                lines.push_back(result_line(results[i]));
            }
        }
        if (plan.repeat) {
            const std::optional<std::string_view> previous = conversation.previous_question();
            lines.push_back(previous ? fmt::format("You said: {}\n", indent_more_lines(*previous))
                                     : "You said: nothing before this\n");
        }
        lines.push_back(m_features);
        lines.push_back(m_closing);
        return lines;
    }

    // Bytes of `text` that fit into `left`, cut between characters (RFC 3629).
    static std::size_t fitting(std::string_view text, std::int64_t left) {
        auto size = std::min(left, static_cast<std::int64_t>(text.size()));
        while (size > 0 && size < static_cast<std::int64_t>(text.size()) &&
               (static_cast<unsigned char>(text[static_cast<std::size_t>(size)]) & 0xC0U) == 0x80U) {
            --size;
        }
        return static_cast<std::size_t>(size);
    }

    // At most `max_tokens` of estimate_tokens; 0 is no bound.
    static Result<void> stream(const std::vector<std::string>& pieces, std::int64_t max_tokens, Sink& sink,
                               Usage& usage, const Context& context) {
        using Kind = ModelEvent::Kind;
        constexpr std::int64_t k_no_bound = std::int64_t{1} << 60;
        std::int64_t left = max_tokens <= 0 || max_tokens > k_no_bound / 4 ? k_no_bound : max_tokens * 4;
        std::size_t bytes = 0;
        bool whole = true;
        for (const std::string& piece : pieces) {
            const std::size_t size = fitting(piece, left);
            if (context.cancelled() ||
                (size > 0 && !sink.on_event({.kind = Kind::text, .text = std::string_view(piece).substr(0, size)}))) {
                return gone();
            }
            bytes += size;
            whole = size == piece.size();
            if (!whole) {
                break;
            }
            left -= static_cast<std::int64_t>(size);
        }
        usage.tokens_out += static_cast<std::int64_t>((bytes + 3) / 4);
        const bool taken = sink.on_event({.kind = Kind::finish, .text = whole ? "stop" : "length"});
        return taken ? Result<void>{} : Result<void>{gone()};
    }

    std::string m_name;
    std::string m_closing;
    std::string m_features;
};

}  // namespace

std::shared_ptr<Model> make_builtin_model(const AgentProfile& profile) {
    return std::make_shared<BuiltinModel>(profile);
}

}  // namespace mt
