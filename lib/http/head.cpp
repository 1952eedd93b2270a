#include "http/head.h"

#include <fmt/core.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>

#include "base/text.h"
#include "http/grammar.h"

namespace mt::http {
namespace {

constexpr std::string_view k_line_end = "\r\n";

Error bad(std::string message) {
    return Error{Code::invalid, std::move(message)};
}

// The fields that steer framing, found in one pass; `count` tells a field that came more than once.
struct Seen {
    std::size_t count = 0;
    std::string_view value{};

    void add(std::string_view text) {
        ++count;
        value = text;
    }
};

struct Steering {
    Seen host;
    Seen content_length;
    Seen transfer_encoding;
    Seen content_encoding;
    Seen expect;
    bool close = false;
    bool keep_alive = false;
};

void note(Steering& steering, const FieldLine& field) {
    if (equal_ignoring_case(field.name, "host")) {
        steering.host.add(field.value);
    } else if (equal_ignoring_case(field.name, "content-length")) {
        steering.content_length.add(field.value);
    } else if (equal_ignoring_case(field.name, "transfer-encoding")) {
        steering.transfer_encoding.add(field.value);
    } else if (equal_ignoring_case(field.name, "content-encoding")) {
        steering.content_encoding.add(field.value);
    } else if (equal_ignoring_case(field.name, "expect")) {
        steering.expect.add(field.value);
    } else if (equal_ignoring_case(field.name, "connection")) {
        steering.close = steering.close || list_has(field.value, "close");
        steering.keep_alive = steering.keep_alive || list_has(field.value, "keep-alive");
    }
}

// Takes the next line, without its line end, from the front of `text`.
std::string_view take_line(std::string_view& text) {
    const std::string_view line = text.substr(0, text.find(k_line_end));
    text.remove_prefix(line.size() + k_line_end.size());
    return line;
}

// RFC 9112 section 3: method SP request-target SP HTTP-version.
Result<void> read_request_line(std::string_view line, Head& head, const ServerLimits& limits) {
    constexpr std::size_t k_longest_method = 32;
    const std::size_t first = line.find(' ');
    const std::size_t last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) {
        return bad(fmt::format("request line {} is not METHOD TARGET VERSION", quote(line)));
    }
    const std::string_view method = line.substr(0, first);
    const std::string_view target = line.substr(first + 1, last - first - 1);
    const std::string_view version = line.substr(last + 1);
    if (!is_token(method) || method.size() > k_longest_method) {
        return bad(fmt::format("{} is no request method", quote(method)));
    }
    if (version != "HTTP/1.1" && version != "HTTP/1.0") {
        return bad(fmt::format("{} is not spoken here: use HTTP/1.1", quote(version)));
    }
    if (target.size() > limits.max_uri) {
        return Error{Code::uri_too_long, fmt::format("the request target has more than {} bytes", limits.max_uri)};
    }
    if (!is_visible(target) || target.find('#') != std::string_view::npos) {
        return bad("the request target holds a blank, a fragment or bytes that must be percent-encoded");
    }
    head.request.method = method;
    head.request.target = target;
    head.http11 = version == "HTTP/1.1";
    return {};
}

Result<void> read_fields(std::string_view text, Head& head, Steering& steering, const ServerLimits& limits) {
    constexpr std::size_t k_usual = 8;  // more than most requests have
    head.request.fields.reserve(k_usual);
    for (std::string_view line = take_line(text); !line.empty(); line = take_line(text)) {
        const std::optional<FieldLine> field = split_field(line);
        if (!field) {
            return bad(fmt::format("header line {} is malformed", quote(line.substr(0, line.find(':')))));
        }
        if (head.request.fields.size() == limits.max_fields) {
            return Error{Code::head_too_large, fmt::format("more than {} header fields", limits.max_fields)};
        }
        head.request.fields.emplace_back(field->name, field->value);
        note(steering, *field);
    }
    return {};
}

// The authority of a target in absolute form ("http://host/path"), which is cut off; empty for other forms.
Result<std::string> reduce_target(Request& request) {
    const bool asterisk = request.target == "*" && request.method == "OPTIONS";
    if (request.method != "CONNECT" && (asterisk || request.target.front() == '/')) {
        return std::string{};
    }
    const std::size_t scheme_end = request.target.find("://");
    const std::string_view scheme = std::string_view(request.target).substr(0, scheme_end);
    const bool known = equal_ignoring_case(scheme, "http") || equal_ignoring_case(scheme, "https");
    if (request.method == "CONNECT" || scheme_end == std::string::npos || !known) {
        return bad(fmt::format("request target {} is no path", quote(request.target)));
    }
    const std::size_t start = scheme_end + 3;
    const std::size_t end = std::min(request.target.find_first_of("/?", start), request.target.size());
    std::string authority = request.target.substr(start, end - start);
    if (!is_authority(authority)) {
        return bad(fmt::format("{} in the request target is no host", quote(authority)));
    }
    request.target.erase(0, end);
    if (request.target.empty() || request.target.front() != '/') {
        request.target.insert(0, "/");
    }
    return authority;
}

void replace_host(Fields& fields, const std::string& authority) {
    for (auto& [name, value] : fields) {
        if (equal_ignoring_case(name, "host")) {
            value = authority;
            return;
        }
    }
    fields.emplace_back("Host", authority);
}

// RFC 9112 section 3.2: exactly one valid Host in HTTP/1.1, at most one in 1.0.
Result<void> check_target_and_host(Head& head, const Steering& steering) {
    if (steering.host.count > 1 || (steering.host.count == 0 && head.http11)) {
        return bad(steering.host.count == 0 ? "Host is missing" : "Host is given twice");
    }
    if (steering.host.count == 1 && !is_authority(steering.host.value)) {
        return bad(fmt::format("Host {} is no host name or address", quote(steering.host.value)));
    }
    Result<std::string> authority = reduce_target(head.request);
    if (!authority) {
        return std::move(authority.error());
    }
    if (!authority->empty()) {
        replace_host(head.request.fields, *authority);
    }
    const std::size_t mark = std::min(head.request.target.find('?'), head.request.target.size());
    head.request.path = head.request.target.substr(0, mark);
    head.request.query = head.request.target.substr(std::min(mark + 1, head.request.target.size()));
    return {};
}

Result<std::size_t> read_content_length(std::string_view text, const ServerLimits& limits) {
    std::uint64_t length = 0;
    const auto [stop, fault] = std::from_chars(text.data(), text.data() + text.size(), length);
    if (text.empty() || fault != std::errc{} || stop != text.data() + text.size()) {
        return bad(fmt::format("Content-Length {} is no number", quote(text)));
    }
    if (length > limits.max_body) {
        return Error{Code::too_large, fmt::format("a body of {} bytes, the limit is {}", length, limits.max_body)};
    }
    return static_cast<std::size_t>(length);
}

// RFC 9112 section 6.1, without the codings that this server does not know.
Result<void> check_transfer_encoding(const Head& head, const Steering& steering) {
    const Seen& coding = steering.transfer_encoding;
    if (!head.http11 || coding.count > 1 || steering.content_length.count > 0) {
        return bad("Transfer-Encoding twice, with Content-Length or in HTTP/1.0");
    }
    if (equal_ignoring_case(coding.value, "chunked")) {
        return {};
    }
    const bool known_wrong = !is_token(coding.value.substr(0, coding.value.find_first_of(",; \t")));
    if (known_wrong || equal_ignoring_case(coding.value.substr(0, 7), "chunked")) {
        return bad(fmt::format("Transfer-Encoding {} is not chunked", quote(coding.value)));
    }
    return Error{Code::unsupported, fmt::format("Transfer-Encoding {} is not known: use chunked", quote(coding.value))};
}

// How the body is delimited (RFC 9112 section 6.3) and coded.
Result<void> read_body_framing(Head& head, const Steering& steering, const ServerLimits& limits) {
    if (steering.transfer_encoding.count > 0) {
        if (Result<void> checked = check_transfer_encoding(head, steering); !checked) {
            return checked;
        }
        head.chunked = true;
    }
    if (steering.content_length.count > 1) {
        return bad("Content-Length is given twice");
    }
    if (steering.content_length.count == 1) {
        Result<std::size_t> length = read_content_length(steering.content_length.value, limits);
        if (!length) {
            return std::move(length.error());
        }
        head.content_length = *length;
    }
    if (steering.content_encoding.count > 1) {
        return Error{Code::unsupported_media, "Content-Encoding stands there twice: send the body as it is"};
    }
    if (steering.content_encoding.count > 0 && !equal_ignoring_case(steering.content_encoding.value, "identity")) {
        return Error{Code::unsupported_media, fmt::format("Content-Encoding {} is not accepted: send the body plain",
                                                          quote(steering.content_encoding.value))};
    }
    return {};
}

// RFC 9110 section 10.1.1: HTTP/1.0 knows no expectations, so 100-continue is ignored there.
Result<void> read_expectation(Head& head, const Seen& expect) {
    if (expect.count == 0) {
        return {};
    }
    if (expect.count > 1 || !equal_ignoring_case(expect.value, "100-continue")) {
        return Error{Code::expectation_failed,
                     fmt::format("Expect {} is not known: only 100-continue is", quote(expect.value))};
    }
    head.expects_continue = head.http11 && (head.chunked || head.content_length > 0);
    return {};
}

}  // namespace

Result<Head> parse_head(std::string_view text, const ServerLimits& limits) {
    Head head;
    Steering steering;
    if (Result<void> line = read_request_line(take_line(text), head, limits); !line) {
        return std::move(line.error());
    }
    if (Result<void> fields = read_fields(text, head, steering, limits); !fields) {
        return std::move(fields.error());
    }
    if (Result<void> host = check_target_and_host(head, steering); !host) {
        return std::move(host.error());
    }
    if (Result<void> body = read_body_framing(head, steering, limits); !body) {
        return std::move(body.error());
    }
    if (Result<void> expectation = read_expectation(head, steering.expect); !expectation) {
        return std::move(expectation.error());
    }
    head.keep_alive = head.http11 ? !steering.close : steering.keep_alive && !steering.close;
    return head;
}

}  // namespace mt::http
