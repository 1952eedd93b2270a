#include "http/event_stream.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace mt::http {
namespace {

constexpr std::string_view k_byte_order_mark = "\xEF\xBB\xBF";
constexpr std::string_view k_unnamed = "message";

// The first `c` at `from` or later; the size when there is none.
std::size_t find_from(std::string_view text, char c, std::size_t from) {
    return std::min(text.find(c, from), text.size());
}

}  // namespace

void EventStream::feed(std::string_view bytes) {
    m_fed = bytes;
    m_at = m_after_cr && !bytes.empty() && bytes.front() == '\n' ? 1 : 0;
    m_after_cr = m_after_cr && bytes.empty();
    m_lf = find_from(m_fed, '\n', m_at);
    m_cr = find_from(m_fed, '\r', m_at);
}

Result<std::optional<std::string_view>> EventStream::next() {
    const Found found = m_ahead ? *m_ahead : find();
    if (found == Found::too_large) {
        m_ahead = found;
        return Error{Code::upstream, fmt::format("an event of the stream has more than {} bytes", m_max)};
    }
    m_ahead.reset();
    if (found == Found::nothing) {
        return std::optional<std::string_view>();
    }
    m_shown = 1 - m_shown;
    return std::optional(m_events.at(m_shown).data);
}

std::string_view EventStream::event_name() const {
    const std::string& name = m_events.at(m_shown).name;
    return name.empty() ? k_unnamed : std::string_view(name);
}

bool EventStream::more() {
    if (!m_ahead) {
        m_ahead = find();
        if (*m_ahead == Found::nothing) {
            m_ahead.reset();  // feed() may bring one
            return false;
        }
    }
    return *m_ahead == Found::event;
}

// Looks for the end of the next event and puts it where next() has not put the last.
EventStream::Found EventStream::find() {
    for (std::optional<std::string_view> line = take_line(); line; line = take_line()) {
        if (std::exchange(m_at_start, false) && line->substr(0, k_byte_order_mark.size()) == k_byte_order_mark) {
            line->remove_prefix(k_byte_order_mark.size());
        }
        if (!read_line(*line)) {
            return Found::too_large;
        }
        const bool dispatched = line->empty() && m_has_data;
        if (dispatched) {
            dispatch();
        } else if (line->empty()) {
            m_name.clear();
        }
        m_line.clear();
        if (dispatched) {
            return Found::event;
        }
    }
    keep_unfinished();
    return m_line.size() > m_max ? Found::too_large : Found::nothing;
}

// Where the current line ends. Each kind of line end is looked for only once, so that a stream which uses the other
// kind takes no more time.
std::size_t EventStream::line_end() {
    m_lf = m_lf < m_at ? find_from(m_fed, '\n', m_at) : m_lf;
    m_cr = m_cr < m_at ? find_from(m_fed, '\r', m_at) : m_cr;
    return std::min(m_lf, m_cr);
}

// The next whole line without its end. It lies in m_line when it began in an earlier piece.
std::optional<std::string_view> EventStream::take_line() {
    const std::size_t end = line_end();
    if (end == m_fed.size()) {
        return std::nullopt;
    }
    std::string_view line = m_fed.substr(m_at, end - m_at);
    m_at = end + 1;
    if (m_fed[end] == '\r') {
        m_after_cr = m_at == m_fed.size();
        m_at += m_at < m_fed.size() && m_fed[m_at] == '\n' ? 1 : 0;
    }
    if (!m_line.empty()) {
        m_line.append(line);
        line = m_line;
    }
    return line;
}

// False: larger than allowed.
bool EventStream::read_line(std::string_view line) {
    const std::size_t colon = std::min(line.find(':'), line.size());
    const std::string_view field = line.substr(0, colon);
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    value.remove_prefix(!value.empty() && value.front() == ' ' ? 1 : 0);
    if (line.size() > m_max) {
        return false;
    }
    if (field == "event") {
        m_name = value;
    }
    return field != "data" || add_data(value);
}

bool EventStream::add_data(std::string_view value) {
    if (!m_has_data) {
        m_has_data = true;
        m_is_single = m_line.empty();  // else it lies where the next line will
        m_single = m_is_single ? value : std::string_view();
        m_text = m_is_single ? std::string_view() : value;
        return true;
    }
    if (std::exchange(m_is_single, false)) {
        m_text = m_single;
    }
    m_text.append("\n").append(value);
    return m_text.size() <= m_max;
}

void EventStream::dispatch() {
    Event& event = m_events.at(1 - m_shown);
    if (m_is_single) {
        event.data = m_single;
    } else {
        event.text.swap(m_text);
        event.data = event.text;
    }
    event.name.swap(m_name);
    m_text.clear();
    m_name.clear();
    m_has_data = false;
}

// What was fed goes away.
void EventStream::keep_unfinished() {
    m_line.append(m_fed.substr(m_at));
    m_at = m_fed.size();
    if (m_has_data && std::exchange(m_is_single, false)) {
        m_text = m_single;
    }
}

}  // namespace mt::http
