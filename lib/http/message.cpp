#include "http/message.h"

#include <fmt/core.h>

#include <array>
#include <cstddef>

#include "base/text.h"
#include "http/grammar.h"

namespace mt::http {
namespace {

// Value of two hexadecimal digits, or -1.
int hex_byte(std::string_view digits) {
    if (digits.size() < 2 || hex_digit(digits[0]) < 0 || hex_digit(digits[1]) < 0) {
        return -1;
    }
    return hex_digit(digits[0]) * 16 + hex_digit(digits[1]);
}

bool is_unreserved(char c) {
    const bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return alphanumeric || c == '-' || c == '.' || c == '_' || c == '~';
}

bool names_parameter(std::string_view encoded, std::string_view name) {
    const Result<std::string> decoded = percent_decode(encoded, true);
    return decoded && *decoded == name;
}

}  // namespace

std::optional<std::string_view> Request::field(std::string_view name) const {
    for (const auto& [key, value] : fields) {
        if (equal_ignoring_case(key, name)) {
            return value;
        }
    }
    return std::nullopt;
}

Result<std::string> Request::parameter(std::string_view name) const {
    std::optional<std::string_view> found;
    for (std::string_view rest = query; !rest.empty();) {
        const std::string_view piece = rest.substr(0, rest.find('&'));
        rest.remove_prefix(std::min(piece.size() + 1, rest.size()));
        const std::size_t equals = std::min(piece.find('='), piece.size());
        if (!names_parameter(piece.substr(0, equals), name)) {
            continue;
        }
        if (found) {
            return Error{Code::invalid, fmt::format("query parameter '{}' is given twice: send it once", name)};
        }
        found = piece.substr(std::min(equals + 1, piece.size()));
    }
    if (!found) {
        return Error{Code::not_found, fmt::format("query parameter '{}' is missing", name)};
    }
    Result<std::string> value = percent_decode(*found, true);
    if (!value) {
        value.error().message = fmt::format("query parameter '{}': {}", name, value.error().message);
    }
    return value;
}

Result<std::string> percent_decode(std::string_view text, bool plus_is_blank) {
    std::string decoded;
    decoded.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded += plus_is_blank && text[i] == '+' ? ' ' : text[i];
            continue;
        }
        const int byte = hex_byte(text.substr(i + 1, 2));
        if (byte < 0) {
            return Error{Code::invalid, fmt::format("bad percent-encoding {}: write %XX with two hexadecimal digits",
                                                    quote(text.substr(i, 3)))};
        }
        decoded += static_cast<char>(byte);
        i += 2;
    }
    if (decoded.find('\0') != std::string::npos) {
        return Error{Code::invalid, "a NUL byte is not allowed here"};
    }
    if (!is_utf8(decoded)) {
        return Error{Code::invalid, "the decoded text is not UTF-8"};
    }
    return decoded;
}

std::string percent_encode(std::string_view text) {
    constexpr std::string_view k_digits = "0123456789ABCDEF";
    std::string encoded;
    encoded.reserve(text.size());
    for (const char c : text) {
        if (is_unreserved(c)) {
            encoded += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        encoded += {'%', k_digits[byte >> 4U], k_digits[byte & 0x0FU]};
    }
    return encoded;
}

}  // namespace mt::http
