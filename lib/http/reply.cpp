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
    constexpr std::array<std::string_view, 8> k_names{"connection", "keep-alive", "content-length", "transfer-encoding",
                                                      "te",         "trailer",    "upgrade",        "date"};
    return std::any_of(k_names.begin(), k_names.end(),
                       [name](std::string_view mine) { return equal_ignoring_case(name, mine); });
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

}  // namespace

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

Fields wire_fields(const Response& response) {
    Fields fields;
    fields.reserve(response.fields.size() + 1);
    if (!response.content_type.empty()) {
        fields.emplace_back("Content-Type", clean_value(response.content_type));
    }
    for (const auto& [name, value] : response.fields) {
        const bool second_type = !response.content_type.empty() && equal_ignoring_case(name, "content-type");
        if (is_token(name) && !second_type && !belongs_to_transport(name)) {
            fields.emplace_back(name, clean_value(value));
        }
    }
    return fields;
}

bool is_bodiless(int status) {
    return status < 200 || status == 204 || status == 304;
}

std::string format_head(const Response& response, Persistence persistence, std::string_view framing, DateField& date) {
    std::string head =
        fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", response.status, reason_phrase(response.status), date.now());
    for (const auto& [name, value] : wire_fields(response)) {
        head.append(name).append(": ").append(value).append("\r\n");
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
