#include "agent/assembly.h"

#include <cstddef>

namespace mt {
namespace {

// Numbers come from a server: absurd ones must not fill the memory.
constexpr int k_most_choices = 128;
constexpr int k_most_calls = 128;

bool in_bounds(const ModelEvent& event) {
    return event.choice >= 0 && event.choice < k_most_choices && event.index >= 0 && event.index < k_most_calls;
}

ToolCall& call_of(Choice& choice, int index) {
    const auto place = static_cast<std::size_t>(index);
    if (choice.tool_calls.size() <= place) {
        choice.tool_calls.resize(place + 1);
    }
    return choice.tool_calls[place];
}

}  // namespace

void Assembly::add(const ModelEvent& event) {
    using Kind = ModelEvent::Kind;
    if (!in_bounds(event)) {
        return;
    }
    const auto place = static_cast<std::size_t>(event.choice);
    if (m_choices.size() <= place) {
        m_choices.resize(place + 1);
    }
    Choice& choice = m_choices[place];
    switch (event.kind) {
        case Kind::text:
            choice.text += event.text;
            break;
        case Kind::refusal:
            choice.refusal += event.text;
            break;
        case Kind::tool_call: {
            ToolCall& call = call_of(choice, event.index);
            call.id = event.id;
            call.name = event.name;
            break;
        }
        case Kind::tool_arguments:
            call_of(choice, event.index).arguments += event.text;
            break;
        case Kind::fields:
            choice.fields = event.text;
            m_opaque = true;
            break;
        case Kind::logprobs:
            choice.logprobs = event.text;
            m_opaque = true;
            break;
        case Kind::finish:
            choice.finish_reason = event.text;
            break;
    }
}

void Assembly::clear() {
    m_choices.assign(1, Choice{});
    m_opaque = false;
}

bool replay(const Choice& choice, int number, Sink& sink) {
    using Kind = ModelEvent::Kind;
    const auto tell = [&](Kind kind, std::string_view text) {
        return text.empty() || sink.on_event({.kind = kind, .text = text, .choice = number, .more = true});
    };
    bool going = tell(Kind::fields, choice.fields) && tell(Kind::logprobs, choice.logprobs) &&
                 tell(Kind::text, choice.text) && tell(Kind::refusal, choice.refusal);
    int index = 0;
    for (const ToolCall& call : choice.tool_calls) {
        going = going &&
                sink.on_event({.kind = Kind::tool_call,
                               .choice = number,
                               .index = index,
                               .id = call.id,
                               .name = call.name,
                               .more = true}) &&
                (call.arguments.empty() || sink.on_event({.kind = Kind::tool_arguments,
                                                          .text = call.arguments,
                                                          .choice = number,
                                                          .index = index,
                                                          .more = true}));
        ++index;
    }
    return going && sink.on_event({.kind = Kind::finish, .text = choice.finish_reason, .choice = number});
}

}  // namespace mt
