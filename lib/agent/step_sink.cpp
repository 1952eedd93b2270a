#include "agent/step_sink.h"

#include <algorithm>

namespace mt {

using Kind = ModelEvent::Kind;

bool StepSink::on_event(const ModelEvent& event) {
    m_step.add(event);
    switch (event.kind) {
        case Kind::text:
            return event.text.empty() ? !stopped() : pass_text(event);
        case Kind::tool_call:
        case Kind::tool_arguments:
            return pass_call(event);
        case Kind::finish:
            return !stopped();
        default:
            return pass(event);
    }
}

void StepSink::begin_step() {
    m_step.clear();
    m_client_calls.clear();
}

bool StepSink::finish() {
    int number = 0;
    for (const Choice& choice : m_step.choices()) {
        if (!pass({.kind = Kind::finish, .text = reason_of(choice, number), .choice = number})) {
            return false;
        }
        ++number;
    }
    return true;
}

std::string_view StepSink::reason_of(const Choice& choice, int number) const {
    const bool calls = std::any_of(m_client_calls.begin(), m_client_calls.end(),
                                   [&](const auto& call) { return call.first.first == number; });
    const std::string& told = choice.finish_reason;
    return calls ? std::string_view("tool_calls") : told.empty() ? std::string_view("stop") : told;
}

bool StepSink::pass(const ModelEvent& event) {
    m_refused = m_refused || !m_out.on_event(event);
    return !stopped();
}

bool StepSink::pass_text(const ModelEvent& event) {
    if (event.choice != 0) {
        return pass(event);
    }
    const bool first_of_step = m_step.first().text.size() == event.text.size();
    if (first_of_step && !m_text.empty() && !m_text.ends_with('\n')) {
        // Text of an earlier step stays on its own line.
        m_text += '\n';
        if (!pass({.kind = Kind::text, .text = "\n", .more = true})) {
            return false;
        }
    }
    m_text += event.text;
    return pass(event);
}

// Calls of the client's tools are numbered anew, since those of the tenant's are not passed on.
bool StepSink::pass_call(const ModelEvent& event) {
    const std::pair place{event.choice, event.index};
    if (event.kind == Kind::tool_call && m_chat != nullptr && m_chat->find_tool(event.name) != nullptr) {
        const auto before = std::count_if(m_client_calls.begin(), m_client_calls.end(),
                                          [&](const auto& call) { return call.first.first == event.choice; });
        m_client_calls.emplace(place, static_cast<int>(before));
    }
    const auto call = m_client_calls.find(place);
    if (call == m_client_calls.end()) {
        return !stopped();
    }
    ModelEvent renumbered = event;
    renumbered.index = call->second;
    return pass(renumbered);
}

}  // namespace mt
