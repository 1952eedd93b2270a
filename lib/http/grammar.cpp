#include "http/grammar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>

namespace mt::http {
namespace {

constexpr unsigned k_token = 1;
constexpr unsigned k_value = 2;
constexpr unsigned k_visible = 4;
constexpr unsigned k_host = 8;

constexpr std::array<std::uint8_t, 256> make_classes() {
    std::array<std::uint8_t, 256> classes{};
    constexpr std::string_view k_token_signs = "!#$%&'*+-.^_`|~";
    constexpr std::string_view k_host_signs = "-._~!$&'()*+,;=%";  // unreserved, sub-delims and %
    for (unsigned c = 0; c < 256; ++c) {
        const char sign = static_cast<char>(c);
        const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        const bool visible = c > 0x20 && c < 0x7F;
        unsigned bits = 0;
        bits |= alphanumeric || (visible && k_token_signs.find(sign) != std::string_view::npos) ? k_token : 0U;
        bits |= visible || c == ' ' || c == '\t' || c >= 0x80 ? k_value : 0U;
        bits |= visible ? k_visible : 0U;
        bits |= alphanumeric || (visible && k_host_signs.find(sign) != std::string_view::npos) ? k_host : 0U;
        classes[c] = static_cast<std::uint8_t>(bits);
    }
    return classes;
}

constexpr std::array<std::uint8_t, 256> k_classes = make_classes();

bool all_of_class(std::string_view text, unsigned wanted) {
    return std::all_of(text.begin(), text.end(),
                       [wanted](char c) { return (k_classes[static_cast<unsigned char>(c)] & wanted) != 0; });
}

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// RFC 3986 section 3.2.3: digits, perhaps none; and a port that exists.
bool is_port(std::string_view digits) {
    std::uint32_t port = 0;
    const auto [stop, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    return digits.empty() || (fault == std::errc{} && stop == digits.data() + digits.size() && port <= 65535);
}

bool is_ip_literal(std::string_view host) {
    return host.size() > 4 && host.back() == ']' &&
           host.find_first_not_of("0123456789abcdefABCDEF:.", 1) == host.size() - 1;
}

bool is_registered_name(std::string_view host) {
    if (host.empty() || !all_of_class(host, k_host)) {
        return false;
    }
    for (std::size_t at = host.find('%'); at != std::string_view::npos; at = host.find('%', at + 1)) {
        if (at + 2 >= host.size() || hex_digit(host[at + 1]) < 0 || hex_digit(host[at + 2]) < 0) {
            return false;
        }
    }
    return true;
}

}  // namespace

int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char small = lower(c);
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

bool is_token(std::string_view text) {
    return !text.empty() && all_of_class(text, k_token);
}

bool is_field_value(std::string_view text) {
    return all_of_class(text, k_value);
}

bool is_visible(std::string_view text) {
    return !text.empty() && all_of_class(text, k_visible);
}

bool is_authority(std::string_view text) {
    const std::size_t bracket = text.empty() || text.front() != '[' ? 0 : text.find(']');
    if (bracket == std::string_view::npos) {
        return false;
    }
    const std::size_t colon = std::min(text.find(':', bracket), text.size());
    const std::string_view host = text.substr(0, colon);
    const std::string_view port = text.substr(std::min(colon + 1, text.size()));
    return is_port(port) && (bracket == 0 ? is_registered_name(host) : is_ip_literal(host));
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim_blanks(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool list_has(std::string_view list, std::string_view token) {
    while (!list.empty()) {
        const std::size_t end = std::min(list.find(','), list.size());
        if (equal_ignoring_case(trim_blanks(list.substr(0, end)), token)) {
            return true;
        }
        list.remove_prefix(std::min(end + 1, list.size()));
    }
    return false;
}

std::optional<FieldLine> split_field(std::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
        return std::nullopt;
    }
    const FieldLine field{line.substr(0, colon), trim_blanks(line.substr(colon + 1))};
    return is_field_value(field.value) ? std::optional(field) : std::nullopt;
}

}  // namespace mt::http
