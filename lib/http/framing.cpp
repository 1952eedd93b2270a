#include "http/framing.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace mt::http {
namespace {

constexpr std::size_t k_line_end = 2;        // bytes of CRLF
constexpr std::size_t k_around_target = 64;  // more than method, version and blanks of a request line can take

}  // namespace

Framer::Framer(const ServerLimits& limits) : m_limits(&limits) {}

Result<bool> Framer::feed(std::string_view& bytes) {
    if (m_progress != Progress::body) {
        Result<bool> complete = feed_head(bytes);
        if (!complete || *complete || m_progress != Progress::body) {
            return complete;
        }
    }
    return feed_body(bytes);
}

Result<bool> Framer::feed_head(std::string_view& bytes) {
    note_method(bytes);
    for (std::size_t i = 0; i < bytes.size();) {
        // Most bytes neither end a line nor pass a bound: they are looked at in one go.
        const std::size_t run = m_scanner.skip_ordinary(bytes.substr(i, room()));
        m_size += run;
        m_line_size += run;
        i += run;
        if (i == bytes.size()) {
            break;
        }
        Result<bool> ended = feed_byte(bytes[i++]);
        if (!ended) {
            return std::move(ended.error());
        }
        if (*ended) {
            const std::string_view piece = bytes.substr(0, i);
            bytes.remove_prefix(i);
            return end_head(piece, bytes);
        }
    }
    m_text += bytes;
    bytes = {};
    // An empty line after a body is no request on its way.
    m_progress = m_in_first_line && m_line_size == 0 ? Progress::empty : Progress::head;
    return false;
}

// Also a head that is refused later is answered by the rules of its method. `bytes` follow what is kept so far.
void Framer::note_method(std::string_view bytes) {
    constexpr std::string_view k_head = "HEAD ";
    if (m_text.size() < k_head.size()) {
        std::string start = m_text;
        start += bytes.substr(0, k_head.size());
        m_is_head_request = start.compare(0, k_head.size(), k_head) == 0;
    }
}

// Bytes that may still come before one of the bounds is passed.
std::size_t Framer::room() const {
    const std::size_t in_head = m_limits->max_head - std::min(m_limits->max_head, m_size);
    const std::size_t in_line = m_limits->max_uri + k_around_target;
    return m_in_first_line ? std::min(in_head, in_line - std::min(in_line, m_line_size)) : in_head;
}

// True when this byte ends the head, or the empty line before one.
Result<bool> Framer::feed_byte(char c) {
    ++m_size;
    ++m_line_size;
    const LineScanner::State state = m_scanner.next(c);
    if (state == LineScanner::State::refused) {
        return Error{Code::invalid, "the head holds a control byte, or a line of it does not end in CR LF"};
    }
    if (Result<void> size = check_size(); !size) {
        return std::move(size.error());
    }
    if (state == LineScanner::State::inside) {
        return false;
    }
    const bool empty = std::exchange(m_line_size, 0) == k_line_end;
    if (!empty) {
        m_in_first_line = false;
    } else if (m_in_first_line && m_size > k_line_end) {
        return Error{Code::invalid, "a request line was expected, not empty lines"};
    }
    return empty;
}

// `piece` is the last part of the head, `rest` what follows.
Result<bool> Framer::end_head(std::string_view piece, std::string_view& rest) {
    if (m_in_first_line) {
        // One empty line before a request is what old clients send after a body (RFC 9112 section 2.2).
        m_text.clear();
        return feed_head(rest);
    }
    if (m_text.empty()) {
        return begin_body(piece);
    }
    m_text += piece;
    return begin_body(m_text);
}

// Both bounds speak of the bytes from the start, so that the answer is the same however they arrive.
Result<void> Framer::check_size() const {
    if (m_in_first_line && m_line_size > m_limits->max_uri + k_around_target) {
        return Error{Code::uri_too_long, fmt::format("the request target has more than {} bytes", m_limits->max_uri)};
    }
    if (m_size > m_limits->max_head) {
        return Error{Code::head_too_large, fmt::format("the head has more than {} bytes", m_limits->max_head)};
    }
    return {};
}

// True when there is no body.
Result<bool> Framer::begin_body(std::string_view head) {
    Result<Head> parsed = parse_head(head, *m_limits);
    if (!parsed) {
        return std::move(parsed.error());
    }
    m_head = std::move(*parsed);
    m_text.clear();
    m_progress = Progress::body;
    m_wants_continue = m_head.expects_continue;
    if (m_head.chunked) {
        m_chunks.emplace(*m_limits);
        return false;
    }
    return m_head.content_length == 0;
}

Result<bool> Framer::feed_body(std::string_view& bytes) {
    m_wants_continue = m_wants_continue && bytes.empty();
    std::string& body = m_head.request.body;
    if (m_chunks) {
        return m_chunks->feed(bytes, body);
    }
    const std::size_t taken = std::min(m_head.content_length - body.size(), bytes.size());
    body.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    return body.size() == m_head.content_length;
}

Message Framer::take() {
    Message message{std::move(m_head.request), m_head.http11, m_head.keep_alive};
    m_progress = Progress::empty;
    m_scanner = {};
    std::string().swap(m_text);
    m_size = 0;
    m_line_size = 0;
    m_in_first_line = true;
    m_head = {};
    m_wants_continue = false;
    m_is_head_request = false;
    m_chunks.reset();
    return message;
}

bool Framer::wants_continue() {
    return std::exchange(m_wants_continue, false);
}

}  // namespace mt::http
