#include "agent/answer_codec.h"

#include <charconv>
#include <cstddef>
#include <cstdint>

namespace mt {
namespace {

void put(std::string& out, std::string_view text) {
    out += std::to_string(text.size());
    out += ':';
    out += text;
}

void put(std::string& out, std::int64_t number) {
    put(out, std::to_string(number));
}

// Takes texts off the front; after a fault everything is empty and good() is false.
class Taker {
  public:
    explicit Taker(std::string_view rest) : m_rest(rest) {}

    std::string_view text() {
        const std::size_t colon = m_rest.find(':');
        const std::optional<std::int64_t> size = parse(m_rest.substr(0, colon));
        if (!size || colon == std::string_view::npos || *size < 0 ||
            static_cast<std::size_t>(*size) > m_rest.size() - colon - 1) {
            m_good = false;
            m_rest = {};
            return {};
        }
        const std::string_view taken = m_rest.substr(colon + 1, static_cast<std::size_t>(*size));
        m_rest.remove_prefix(colon + 1 + taken.size());
        return taken;
    }

    std::int64_t number() {
        const std::optional<std::int64_t> value = parse(text());
        m_good = m_good && value;
        return value.value_or(0);
    }

    [[nodiscard]] bool good() const { return m_good; }
    [[nodiscard]] bool at_end() const { return m_rest.empty(); }

  private:
    static std::optional<std::int64_t> parse(std::string_view digits) {
        std::int64_t value = 0;
        const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        const bool whole = !digits.empty() && fault == std::errc{} && end == digits.data() + digits.size();
        return whole ? std::optional(value) : std::nullopt;
    }

    std::string_view m_rest;
    bool m_good = true;
};

}  // namespace

std::string encode_answer(const Answer& answer) {
    std::string kept;
    put(kept, answer.model);
    put(kept, answer.usage.tokens_in);
    put(kept, answer.usage.tokens_out);
    put(kept, std::int64_t{answer.usage.estimated});
    put(kept, answer.choice.text);
    put(kept, answer.choice.refusal);
    put(kept, answer.choice.finish_reason);
    put(kept, static_cast<std::int64_t>(answer.tools_used.size()));
    for (const std::string& tool : answer.tools_used) {
        put(kept, tool);
    }
    put(kept, static_cast<std::int64_t>(answer.choice.tool_calls.size()));
    for (const ToolCall& call : answer.choice.tool_calls) {
        put(kept, call.id);
        put(kept, call.name);
        put(kept, call.arguments);
    }
    return kept;
}

std::optional<Answer> decode_answer(std::string_view kept) {
    Taker taker(kept);
    Answer answer;
    answer.cacheable = true;
    answer.model = taker.text();
    answer.usage.tokens_in = taker.number();
    answer.usage.tokens_out = taker.number();
    answer.usage.estimated = taker.number() != 0;
    answer.choice.text = taker.text();
    answer.choice.refusal = taker.text();
    answer.choice.finish_reason = taker.text();
    for (std::int64_t tools = taker.number(); tools > 0 && taker.good(); --tools) {
        answer.tools_used.emplace_back(taker.text());
    }
    for (std::int64_t calls = taker.number(); calls > 0 && taker.good(); --calls) {
        ToolCall call;
        call.id = taker.text();
        call.name = taker.text();
        call.arguments = taker.text();
        answer.choice.tool_calls.push_back(std::move(call));
    }
    return taker.good() && taker.at_end() ? std::optional(std::move(answer)) : std::nullopt;
}

}  // namespace mt
