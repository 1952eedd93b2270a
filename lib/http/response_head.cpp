#include "http/response_head.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "base/text.h"

namespace mt::http {
namespace {

constexpr std::string_view k_line_end = "\r\n";
constexpr std::string_view k_version = "HTTP/1.";
constexpr std::size_t k_most_fields = 200;

Error bad(std::string message) {
    return Error{Code::upstream, std::move(message)};
}

// What steers the framing, found in one pass.
struct Steering {
    std::optional<std::size_t> length{};
    std::size_t codings = 0;
    bool chunked = false;
    bool close = false;
};

// The same number may stand there more than once (RFC 9110 section 8.6).
Result<void> note_length(std::string_view list, Steering& steering) {
    do {
        const std::size_t end = std::min(list.find(','), list.size());
        const std::string_view text = trim_blanks(list.substr(0, end));
        std::size_t length = 0;
        const auto [stop, fault] = std::from_chars(text.data(), text.data() + text.size(), length);
        if (text.empty() || fault != std::errc{} || stop != text.data() + text.size()) {
            return bad("its Content-Length is no number");
        }
        if (steering.length.value_or(length) != length) {
            return bad("it has more than one Content-Length");
        }
        steering.length = length;
        list.remove_prefix(std::min(end + 1, list.size()));
    } while (!list.empty());
    return {};
}

Result<void> note(const FieldLine& field, Steering& steering) {
    if (equal_ignoring_case(field.name, "content-length")) {
        return note_length(field.value, steering);
    }
    if (equal_ignoring_case(field.name, "transfer-encoding")) {
        ++steering.codings;
        steering.chunked = equal_ignoring_case(field.value, "chunked");
    } else if (equal_ignoring_case(field.name, "connection")) {
        steering.close = steering.close || list_has(field.value, "close");
    }
    return {};
}

// HTTP-version SP status-code SP [reason]; the second blank is often forgotten.
Result<void> read_status_line(std::string_view line, ResponseHead& head) {
    constexpr std::size_t k_status_at = 9;
    constexpr std::size_t k_status_end = 12;
    constexpr int k_first = 100;
    constexpr int k_last = 599;
    const bool shaped = line.size() >= k_status_end && line[k_status_at - 1] == ' ' &&
                        (line.size() == k_status_end || line[k_status_end] == ' ');
    const char* start = line.data() + k_status_at;
    if (!shaped || std::from_chars(start, line.data() + k_status_end, head.status).ptr != start + 3 ||
        head.status < k_first || head.status > k_last) {
        return bad(fmt::format("its status line {} is malformed", quote(line)));
    }
    const char minor = line[k_version.size()];
    if (minor != '0' && minor != '1') {
        return bad(fmt::format("it speaks {}, not HTTP/1.1", quote(line.substr(0, k_status_at - 1))));
    }
    head.keep_alive = minor == '1';
    return {};
}

std::string_view take_line(std::string_view& text) {
    const std::string_view line = text.substr(0, text.find(k_line_end));
    text.remove_prefix(line.size() + k_line_end.size());
    return line;
}

Result<void> read_fields(std::string_view text, ResponseHead& head, Steering& steering) {
    constexpr std::size_t k_usual = 16;
    head.fields.reserve(k_usual);
    for (std::string_view line = take_line(text); !line.empty(); line = take_line(text)) {
        const std::optional<FieldLine> field = split_field(line);
        if (!field) {
            return bad(fmt::format("its field {} is malformed", quote(line.substr(0, line.find(':')))));
        }
        if (head.fields.size() == k_most_fields) {
            return bad(fmt::format("it has more than {} fields", k_most_fields));
        }
        head.fields.push_back(*field);
        if (Result<void> noted = note(*field, steering); !noted) {
            return noted;
        }
    }
    return {};
}

// RFC 9112 section 6.3.
Result<void> read_framing(ResponseHead& head, const Steering& steering, bool http11) {
    if (steering.codings > 0 && (steering.codings > 1 || !steering.chunked || steering.length || !http11)) {
        return bad("its Transfer-Encoding is not just chunked, or stands beside a Content-Length or in HTTP/1.0");
    }
    if (steering.chunked) {
        head.body = ResponseHead::Body::chunked;
    } else if (steering.length) {
        head.body = ResponseHead::Body::length;
        head.content_length = *steering.length;
    } else {
        head.body = ResponseHead::Body::until_close;
    }
    return {};
}

}  // namespace

std::optional<std::string_view> ResponseHead::field(std::string_view name) const {
    for (const FieldLine& field : fields) {
        if (equal_ignoring_case(field.name, name)) {
            return field.value;
        }
    }
    return std::nullopt;
}

Result<std::optional<std::size_t>> HeadEnd::find(std::string_view bytes) {
    if (bytes.substr(0, k_version.size()) != k_version.substr(0, bytes.size())) {
        return bad("it is no HTTP");
    }
    while (m_seen < bytes.size()) {
        const std::size_t run = m_scanner.skip_ordinary(bytes.substr(m_seen));
        m_seen += run;
        m_line += run;
        if (m_seen == bytes.size()) {
            break;
        }
        const LineScanner::State state = m_scanner.next(bytes[m_seen]);
        ++m_seen;
        ++m_line;
        if (state == LineScanner::State::refused) {
            return bad("its head holds a control byte, or a line of it does not end in CR LF");
        }
        if (state == LineScanner::State::ended && std::exchange(m_line, 0) == k_line_end.size()) {
            break;
        }
    }
    const bool whole = m_line == 0 && m_seen >= 2 * k_line_end.size() && bytes.substr(m_seen - 4, 4) == "\r\n\r\n";
    if (m_seen > m_max) {
        return bad(fmt::format("its head has more than {} bytes", m_max));
    }
    return whole ? std::optional(m_seen) : std::nullopt;
}

Result<ResponseHead> parse_response_head(std::string_view text, bool to_head_request) {
    constexpr int k_no_content = 204;
    constexpr int k_not_modified = 304;
    ResponseHead head;
    Steering steering;
    if (Result<void> line = read_status_line(take_line(text), head); !line) {
        return std::move(line).error();
    }
    if (Result<void> fields = read_fields(text, head, steering); !fields) {
        return std::move(fields).error();
    }
    if (Result<void> framing = read_framing(head, steering, head.keep_alive); !framing) {
        return std::move(framing).error();
    }
    if (to_head_request || head.interim() || head.status == k_no_content || head.status == k_not_modified) {
        head.body = ResponseHead::Body::none;
    }
    head.keep_alive = head.keep_alive && !steering.close && head.body != ResponseHead::Body::until_close;
    return head;
}

}  // namespace mt::http
