#include "api/chat_stream.h"

#include <fmt/core.h>

#include <cstddef>
#include <iterator>
#include <utility>

#include "api/openai_error.h"

namespace mt::api {
namespace {

using Kind = ModelEvent::Kind;

constexpr std::int64_t k_silence_ns = 15'000'000'000;
constexpr std::size_t k_most_buffered = 16UL * 1024;
// Numbers come from a server: absurd ones must not fill the memory. Assembly keeps as many.
constexpr int k_most = 128;
constexpr std::string_view k_content = R"("content":")";
constexpr std::string_view k_refusal = R"("refusal":")";

}  // namespace

bool ChatStream::on_event(const ModelEvent& event) {
    if (m_gone || event.choice < 0 || event.choice >= k_most || event.index < 0 || event.index >= k_most) {
        return !m_gone;
    }
    Progress& progress = begin(event.choice);
    switch (event.kind) {
        case Kind::text:
            add_text(event.choice, k_content, event.text, progress.text);
            break;
        case Kind::refusal:
            add_text(event.choice, k_refusal, event.text, progress.refusal);
            break;
        case Kind::tool_call:
            add_call(event);
            break;
        case Kind::tool_arguments:
            add_arguments(event, progress.arguments[event.index]);
            break;
        case Kind::fields:
            add_fields(event);
            break;
        case Kind::logprobs:
            add_logprobs(event);
            break;
        case Kind::finish:
            progress.finish_reason = event.text;  // told when all is counted
            break;
    }
    return (event.more && m_buffer.size() < k_most_buffered) || flush();
}

void ChatStream::on_idle() {
    static_cast<void>(flush());  // a client that is gone shows at the next event
    if (!m_gone && m_clock.boot_ns() - m_written_ns >= k_silence_ns) {
        static_cast<void>(write(": ping\n\n"));
    }
}

void ChatStream::finish(const Usage& usage) {
    if (m_choices.empty()) {
        begin(0);
    }
    for (auto& [choice, progress] : m_choices) {
        add_finish(choice, progress);
    }
    if (m_settings.include_usage) {
        m_buffer += m_prefix;
        m_buffer += R"(],"usage":)";
        m_buffer += usage_json(usage);
        m_buffer += "}\n\n";
    }
    m_buffer += "data: [DONE]\n\n";
    if (flush()) {
        m_writer->finish();
    }
}

void ChatStream::fail(const Error& error) {
    m_buffer += "data: ";
    m_buffer += openai_error_json(error);
    m_buffer += "\n\n";
    if (flush()) {
        m_writer->finish();
    }
}

// Every choice starts with a delta of its own.
ChatStream::Progress& ChatStream::begin(int choice) {
    const auto [place, is_new] = m_choices.try_emplace(choice);
    if (is_new) {
        open_delta(choice);
        m_buffer += R"("role":"assistant","content":"")";
        close_delta();
    }
    return place->second;
}

void ChatStream::open_delta(int choice) {
    if (m_prefix.empty()) {
        m_prefix =
            fmt::format(R"(data: {{"id":{},"object":"chat.completion.chunk","created":{},"model":{},"choices":[)",
                        json_string(m_settings.name.id), m_settings.name.created, json_string(m_model));
    }
    m_buffer += m_prefix;
    m_buffer += R"({"index":)";
    fmt::format_to(std::back_inserter(m_buffer), "{}", choice);
    m_buffer += R"(,"delta":{)";
}

void ChatStream::close_delta(std::string_view logprobs, std::string_view finish_reason) {
    m_buffer += R"(},"logprobs":)";
    m_buffer += logprobs;
    m_buffer += R"(,"finish_reason":)";
    m_buffer += finish_reason;
    m_buffer += m_settings.include_usage ? R"(}],"usage":null})" : "}]}";
    m_buffer += "\n\n";
}

void ChatStream::add_text(int choice, std::string_view field, std::string_view text, CutCharacter& cut) {
    const std::size_t before = m_buffer.size();
    open_delta(choice);
    m_buffer += field;
    const std::size_t start = m_buffer.size();
    append_json_text(m_buffer, text, cut);
    if (m_buffer.size() == start) {
        m_buffer.resize(before);  // the first bytes of a character, or nothing
        return;
    }
    m_buffer += '"';
    close_delta();
}

void ChatStream::add_call(const ModelEvent& event) {
    open_delta(event.choice);
    fmt::format_to(std::back_inserter(m_buffer),
                   R"("tool_calls":[{{"index":{},"id":{},"type":"function","function":{{"name":{},"arguments":""}}}}])",
                   event.index, json_string(event.id), json_string(event.name));
    close_delta();
}

void ChatStream::add_arguments(const ModelEvent& event, CutCharacter& cut) {
    std::string piece;
    append_json_text(piece, event.text, cut);
    if (piece.empty()) {
        return;
    }
    open_delta(event.choice);
    fmt::format_to(std::back_inserter(m_buffer), R"("tool_calls":[{{"index":{},"function":{{"arguments":"{}"}}}}])",
                   event.index, piece);
    close_delta();
}

void ChatStream::add_fields(const ModelEvent& event) {
    const std::string members = json_members(event.text);
    if (members.empty()) {
        return;
    }
    open_delta(event.choice);
    m_buffer += members;
    close_delta();
}

void ChatStream::add_logprobs(const ModelEvent& event) {
    open_delta(event.choice);
    close_delta(json_line(event.text));
}

void ChatStream::add_finish(int choice, Progress& progress) {
    constexpr std::string_view k_replacement = "\xEF\xBF\xBD";  // U+FFFD: of a character whose rest never came
    for (auto [field, cut] : {std::pair(k_content, &progress.text), std::pair(k_refusal, &progress.refusal)}) {
        if (!cut->empty()) {
            cut->clear();
            add_text(choice, field, k_replacement, *cut);
        }
    }
    open_delta(choice);
    close_delta("null", json_string(progress.finish_reason.empty() ? "stop" : progress.finish_reason));
}

bool ChatStream::flush() {
    const bool written = m_buffer.empty() ? !m_gone : write(m_buffer);
    m_buffer.clear();
    return written;
}

bool ChatStream::write(std::string_view bytes) {
    if (m_writer == nullptr) {
        m_writer = &m_open();
    }
    m_gone = m_gone || !m_writer->write(bytes);
    m_written_ns = m_clock.boot_ns();
    return !m_gone;
}

}  // namespace mt::api
