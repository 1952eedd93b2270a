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
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        ++m_size;
        ++m_line_size;
        m_progress = Progress::head;
        const LineScanner::State state = m_scanner.next(bytes[i]);
        if (state == LineScanner::State::refused) {
            return Error{Code::invalid, "the head holds a control byte, or a line of it does not end in CR LF"};
        }
        if (Result<void> size = check_size(); !size) {
            return std::move(size.error());
        }
        if (state == LineScanner::State::inside) {
            continue;
        }
        const bool empty = std::exchange(m_line_size, 0) == k_line_end;
        const bool leading = empty && m_in_first_line;
        if (!empty) {
            m_in_first_line = false;
            continue;
        }
        if (leading && m_size > k_line_end) {
            return Error{Code::invalid, "a request line was expected, not empty lines"};
        }
        const std::string_view piece = bytes.substr(0, i + 1);
        bytes.remove_prefix(piece.size());
        if (leading) {
            // One empty line before a request is what old clients send after a body (RFC 9112 section 2.2).
            m_text.clear();
            return feed_head(bytes);
        }
        if (m_text.empty()) {
            return begin_body(piece);
        }
        m_text += piece;
        return begin_body(m_text);
    }
    m_text += bytes;
    bytes = {};
    return false;
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
    *this = Framer(*m_limits);
    return message;
}

bool Framer::wants_continue() {
    return std::exchange(m_wants_continue, false);
}

}  // namespace mt::http
