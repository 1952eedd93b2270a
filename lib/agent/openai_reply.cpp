#include "agent/openai_reply.h"

#include "agent/openai_refusal.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/excerpt.h"
#include "base/json_depth.h"
#include "base/text.h"

namespace mt {
namespace {

using Json = nlohmann::json;
using Kind = ModelEvent::Kind;

constexpr int k_most_choices = 128;
constexpr std::size_t k_most_calls = 128;

// Something that is no object where it is no JSON, or nested so deep that nobody could write it again.
Json parse(std::string_view text) {
    if (is_nested_deeper(text)) {
        return {};
    }
    Json json = Json::parse(text, nullptr, false);
    // Some servers cut characters between two pieces.
    return json.is_discarded() ? Json::parse(valid_utf8(text), nullptr, false) : json;
}

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The text of a member; nothing when it is absent, null or something else.
const std::string* text_of(const Json& object, const char* name) {
    const auto found = object.find(name);
    return found == object.end() ? nullptr : found->get_ptr<const std::string*>();
}

// Nothing where it is absent or no number; -1 where it is absurd.
std::optional<int> number_of(const Json& object, const char* name) {
    constexpr double k_most = 1e6;
    const auto found = object.find(name);
    if (found == object.end() || !found->is_number_integer()) {
        return std::nullopt;
    }
    const auto number = found->get<double>();
    return number < 0 || number > k_most ? -1 : found->get<int>();
}

bool is_count(const Json& usage, const char* name) {
    const auto found = usage.find(name);
    return found != usage.end() && found->is_number() && found->get<double>() >= 0;
}

// No server can make sums of it overflow.
std::int64_t tokens_of(const Json& usage, const char* name) {
    constexpr double k_most = 1e12;
    const auto found = usage.find(name);
    if (found == usage.end() || !found->is_number()) {
        return 0;
    }
    return static_cast<std::int64_t>(std::clamp(found->get<double>(), 0.0, k_most));
}

std::string shortened(const std::string& text) {
    constexpr std::size_t k_longest = 500;
    return excerpt(text, k_longest);
}

ServerFault fault_of(const Json& error) {
    ServerFault fault;
    if (const std::string* plain = error.get_ptr<const std::string*>()) {
        fault.message = shortened(*plain);
    } else if (error.is_object()) {
        const auto take = [&](const char* name) {
            const std::string* text = text_of(error, name);
            return text == nullptr ? std::string{} : shortened(*text);
        };
        fault = {take("message"), take("type"), take("code"), take("param")};
    }
    return fault;
}

Error no_completion() {
    return Error{Code::upstream, "the reply of the model's server is no chat completion"};
}

Error client_gone() {
    return Error{Code::client_gone, "the client left before the answer was complete"};
}

}  // namespace

// Walks one JSON document for the reader.
class ReplyReader::Parser {
  public:
    enum class Form { whole, delta };

    Parser(ReplyReader& reader, Form form, bool more) : m_reader(reader), m_form(form), m_more(more) {}

    Result<void> read(const Json& document) {
        if (!document.is_object()) {
            return no_completion();
        }
        if (const auto error = document.find("error"); error != document.end() && !error->is_null()) {
            const ServerFault fault = fault_of(*error);
            return Error{Code::upstream,
                         "the model's server failed in its answer",
                         {},
                         {},
                         {},
                         only_word(fault.type.empty() ? fault.code : fault.type)};
        }
        read_usage(document);
        const auto choices = document.find("choices");
        if (choices != document.end() && choices->is_null()) {
            return {};
        }
        if (choices == document.end() || !choices->is_array()) {
            return m_reader.m_usage ? Result<void>{} : Result<void>{no_completion()};
        }
        int position = 0;
        for (const Json& choice : *choices) {
            if (!read_choice(choice, position++)) {
                return client_gone();
            }
        }
        return {};
    }

  private:
    void read_usage(const Json& document) {
        const auto usage = document.find("usage");
        if (usage != document.end() && usage->is_object() && is_count(*usage, "prompt_tokens") &&
            is_count(*usage, "completion_tokens")) {
            m_reader.m_usage = Usage{tokens_of(*usage, "prompt_tokens"), tokens_of(*usage, "completion_tokens"), false};
        }
    }

    bool read_choice(const Json& choice, int position) {
        if (!choice.is_object()) {
            return true;
        }
        const int number = number_of(choice, "index").value_or(position);
        if (number < 0 || number >= k_most_choices) {
            return true;
        }
        bool going = true;
        if (const auto logprobs = choice.find("logprobs"); logprobs != choice.end() && !logprobs->is_null()) {
            const std::string text = dump(*logprobs);
            going = tell({.kind = Kind::logprobs, .text = text, .choice = number});
        }
        if (const auto message = choice.find(m_form == Form::whole ? "message" : "delta");
            message != choice.end() && message->is_object()) {
            going = going && read_message(*message, number);
        }
        if (const std::string* reason = text_of(choice, "finish_reason")) {
            m_reader.choice(number).finished = true;
            going = going && tell({.kind = Kind::finish, .text = *reason, .choice = number});
        }
        return going;
    }

    bool read_message(const Json& message, int number) {
        bool going = tell_further_fields(message, number);
        if (const std::string* text = text_of(message, "content"); text != nullptr && !text->empty()) {
            going = going && tell({.kind = Kind::text, .text = *text, .choice = number});
        }
        if (const std::string* text = text_of(message, "refusal"); text != nullptr && !text->empty()) {
            going = going && tell({.kind = Kind::refusal, .text = *text, .choice = number});
        }
        const auto calls = message.find("tool_calls");
        if (calls == message.end() || !calls->is_array()) {
            return going;
        }
        int position = 0;
        for (const Json& call : *calls) {
            going = going && read_call(call, number, position++);
        }
        return going;
    }

    // What only the client may understand: "reasoning_content" and such.
    bool tell_further_fields(const Json& message, int number) {
        constexpr std::array<std::string_view, 5> k_known{"role", "content", "refusal", "tool_calls", "function_call"};
        Json further = Json::object();
        for (const auto& [name, value] : message.items()) {
            if (std::find(k_known.begin(), k_known.end(), name) == k_known.end() && !value.is_null()) {
                further[name] = value;
            }
        }
        if (further.empty()) {
            return true;
        }
        const std::string text = dump(further);
        m_reader.m_bytes += text.size();
        return tell({.kind = Kind::fields, .text = text, .choice = number});
    }

    bool read_call(const Json& call, int number, int position) {
        const auto function = call.find("function");
        if (function == call.end() || !function->is_object()) {
            return true;
        }
        const std::string* name = text_of(*function, "name");
        const std::string* id = text_of(call, "id");
        const CallState told{m_form == Form::delta ? number_of(call, "index") : position, id == nullptr ? "" : *id};
        std::vector<CallState>& calls = m_reader.choice(number).calls;
        const bool named = name != nullptr && !name->empty();
        const std::optional<std::size_t> known = find_call(calls, told, named);
        if (!known && (!named || calls.size() == k_most_calls)) {
            return true;
        }
        const int index = static_cast<int>(known.value_or(calls.size()));
        bool going = true;
        if (!known) {
            calls.push_back(told);
            const std::string own = told.id.empty() ? fmt::format("call_{}", index) : told.id;
            going = tell({.kind = Kind::tool_call, .choice = number, .index = index, .id = own, .name = *name});
        }
        const std::string* arguments = text_of(*function, "arguments");
        if (going && arguments != nullptr && !arguments->empty()) {
            going = tell({.kind = Kind::tool_arguments, .text = *arguments, .choice = number, .index = index});
        }
        return going;
    }

    // Which call goes on; nothing when another begins. Some servers leave the index out, some give 0 to every call:
    // then a name with another id begins one.
    static std::optional<std::size_t> find_call(const std::vector<CallState>& calls, const CallState& told,
                                                bool named) {
        const auto same = [&](const CallState& call) { return !told.index || call.index == told.index; };
        const auto last = std::find_if(calls.rbegin(), calls.rend(), same);
        if (last == calls.rend()) {
            return std::nullopt;
        }
        const bool other_id = told.index ? !told.id.empty() && !last->id.empty() && told.id != last->id
                                         : told.id.empty() || told.id != last->id;
        return named && other_id ? std::nullopt : std::optional<std::size_t>(calls.rend() - last - 1);
    }

    bool tell(ModelEvent event) {
        event.more = m_more;
        return m_reader.tell(event);
    }

    ReplyReader& m_reader;
    Form m_form;
    bool m_more;
};

Result<void> ReplyReader::read_reply(const std::string& body) {
    const Json document = parse(body);
    if (Result<void> read = Parser(*this, Parser::Form::whole, true).read(document); !read) {
        return read;
    }
    m_done = true;
    return end();
}

Result<void> ReplyReader::read_event(std::string_view data, bool more) {
    if (trim(data) == "[DONE]") {
        m_done = true;
        return {};
    }
    return Parser(*this, Parser::Form::delta, more).read(parse(data));
}

Result<void> ReplyReader::end() {
    const bool complete = !m_choices.empty() && std::all_of(m_choices.begin(), m_choices.end(),
                                                            [](const ChoiceState& c) { return c.finished; });
    if (m_choices.empty() || !(m_done || complete)) {
        return m_choices.empty() && m_done ? no_completion()
                                           : Error{Code::upstream, "the model's server ended the answer in its middle"};
    }
    return finish_all() ? Result<void>{} : Result<void>{client_gone()};
}

bool ReplyReader::finish_all() {
    for (std::size_t i = 0; i < m_choices.size(); ++i) {
        if (m_choices[i].finished) {
            continue;
        }
        m_choices[i].finished = true;
        const std::string_view reason = m_choices[i].calls.empty() ? "stop" : "tool_calls";
        if (!tell({.kind = Kind::finish, .text = reason, .choice = static_cast<int>(i)})) {
            return false;
        }
    }
    return true;
}

std::int64_t ReplyReader::estimated_tokens_out() const {
    return static_cast<std::int64_t>((m_bytes + 3) / 4);
}

bool ReplyReader::tell(const ModelEvent& event) {
    choice(event.choice);
    m_bytes += event.kind == Kind::finish || event.kind == Kind::fields || event.kind == Kind::logprobs
                   ? 0
                   : event.text.size() + event.name.size();
    return m_sink.on_event(event);
}

ReplyReader::ChoiceState& ReplyReader::choice(int number) {
    const auto place = static_cast<std::size_t>(number);
    if (m_choices.size() <= place) {
        m_choices.resize(place + 1);
    }
    return m_choices[place];
}

ServerFault read_fault(const std::string& body) {
    const Json document = parse(body);
    if (!document.is_object()) {
        return {};
    }
    const auto error = document.find("error");
    // Ollama and others: {"error": "text"}; vLLM: {"object": "error", "message": ...}.
    return fault_of(error == document.end() ? document : *error);
}

}  // namespace mt
