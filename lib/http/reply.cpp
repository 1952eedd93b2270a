#include "http/reply.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

#include "http/grammar.h"

namespace mt::http {
namespace {

struct Reason {
    int status;
    std::string_view phrase;
};

// RFC 9110 section 15, RFC 6585.
constexpr std::array k_reasons{
    Reason{200, "OK"},
    Reason{201, "Created"},
    Reason{202, "Accepted"},
    Reason{204, "No Content"},
    Reason{304, "Not Modified"},
    Reason{400, "Bad Request"},
    Reason{401, "Unauthorized"},
    Reason{402, "Payment Required"},
    Reason{403, "Forbidden"},
    Reason{404, "Not Found"},
    Reason{405, "Method Not Allowed"},
    Reason{408, "Request Timeout"},
    Reason{409, "Conflict"},
    Reason{413, "Content Too Large"},
    Reason{414, "URI Too Long"},
    Reason{415, "Unsupported Media Type"},
    Reason{417, "Expectation Failed"},
    Reason{429, "Too Many Requests"},
    Reason{431, "Request Header Fields Too Large"},
    Reason{499, "Client Closed Request"},  // nginx
    Reason{500, "Internal Server Error"},
    Reason{501, "Not Implemented"},
    Reason{502, "Bad Gateway"},
    Reason{503, "Service Unavailable"},
    Reason{504, "Gateway Timeout"},
    Reason{507, "Insufficient Storage"},
};

std::string_view reason_phrase(int status) {
    const auto* found =
        std::find_if(k_reasons.begin(), k_reasons.end(), [status](const Reason& r) { return r.status == status; });
    return found == k_reasons.end() ? std::string_view{} : found->phrase;
}

bool belongs_to_transport(std::string_view name) {
    constexpr std::array<std::string_view, 9> k_names{"connection",   "keep-alive", "content-length",
                                                      "content-type", "te",         "transfer-encoding",
                                                      "trailer",      "upgrade",    "date"};
    return std::any_of(k_names.begin(), k_names.end(), [name](std::string_view mine) {
        return name.size() == mine.size() && equal_ignoring_case(name, mine);
    });
}

void append_field(std::string& head, std::string_view name, std::string_view value) {
    head.append(name).append(": ");
    if (is_field_value(value) && trim_blanks(value).size() == value.size()) {
        head.append(value);
    } else {
        head.append(clean_value(value));
    }
    head.append("\r\n");
}

}  // namespace

std::string_view type_of(const Response& response) {
    if (!response.content_type.empty()) {
        return response.content_type;
    }
    const auto found = std::find_if(response.fields.begin(), response.fields.end(),
                                    [](const auto& field) { return equal_ignoring_case(field.first, "content-type"); });
    return found == response.fields.end() ? std::string_view{} : std::string_view(found->second);
}

std::string clean_value(std::string_view value) {
    std::string clean(value);
    std::replace_if(
        clean.begin(), clean.end(),
        [](char c) {
            return !is_field_value({&c, 1});
        },
        ' ');
    return std::string(trim_blanks(clean));
}

const std::string& DateField::now() {
    const auto second = std::chrono::duration_cast<std::chrono::seconds>(m_clock.wall().time_since_epoch()).count();
    if (second != m_second) {
        m_second = second;
        m_text = fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(static_cast<std::time_t>(second)));
    }
    return m_text;
}

std::string_view connection_value(Persistence persistence) {
    switch (persistence) {
        case Persistence::keep:
            return {};
        case Persistence::keep_http10:
            return "keep-alive";
        case Persistence::close:
            break;
    }
    return "close";
}

void append_fields(std::string& head, const Response& response, DateField& date) {
    head.append("Date: ").append(date.now()).append("\r\n");
    for (const auto& [name, value] : response.fields) {
        if (is_token(name) && !belongs_to_transport(name)) {
            append_field(head, name, value);
        }
    }
}

bool is_bodiless(int status) {
    return status < 200 || status == 204 || status == 304;
}

std::string format_head(const Response& response, Persistence persistence, std::string_view framing, DateField& date) {
    std::string head = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
    append_fields(head, response, date);
    if (const std::string_view type = type_of(response); !type.empty()) {
        append_field(head, "Content-Type", type);
    }
    head += framing;
    if (const std::string_view value = connection_value(persistence); !value.empty()) {
        head.append("Connection: ").append(value).append("\r\n");
    }
    return head += "\r\n";
}

std::string format_reply(const Response& response, Persistence persistence, DateField& date) {
    return format_head_only(response, persistence, date) + response.body;
}

std::string format_head_only(const Response& response, Persistence persistence, DateField& date) {
    return format_head(response, persistence, fmt::format("Content-Length: {}\r\n", response.body.size()), date);
}

Response encode_fault(const FaultEncoder& encode, const Error& error) {
    const CodeInfo& info = describe(error.code);
    Response plain{.status = info.http_status, .body = fmt::format("{}: {}\n", info.title, error.message)};
    if (!encode) {
        return plain;
    }
    try {
        return encode(error);
    } catch (const std::exception&) {
        return plain;  // the fault itself matters more than the encoder's
    }
}

}  // namespace mt::http
