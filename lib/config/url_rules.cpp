#include "config/url_rules.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/networks.h"
#include "base/text.h"
#include "base/units.h"

namespace mt {
namespace {

constexpr std::string_view k_unix = "unix:";

Error bad(std::string_view what) {
    return {Code::invalid, std::string(what)};
}

bool is_visible(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f && c != '\\'; });
}

bool is_word_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
}

bool is_host(std::string_view host) {
    if (host.starts_with('[')) {
        return host.ends_with(']') && host.find(':') != std::string_view::npos &&
               parse_ip(host.substr(1, host.size() - 2)).has_value();
    }
    return !host.empty() && std::all_of(host.begin(), host.end(), is_word_char);
}

Result<void> check_authority(std::string_view authority) {
    if (authority.find('@') != std::string_view::npos) {
        return bad("an address holds neither user nor password");
    }
    const std::size_t bracket = authority.rfind(']');
    const std::size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
    if (!is_host(authority.substr(0, colon))) {
        return bad("the address has no valid host: write http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH");
    }
    if (colon != std::string_view::npos) {
        const Result<std::int64_t> port = parse_integer(authority.substr(colon + 1));
        if (!port || *port < 1 || *port > 65'535) {
            return bad("the port of the address is no number from 1 to 65535");
        }
    }
    return {};
}

// The part behind host and port.
Result<std::string_view> check_http_url(std::string_view text) {
    const std::size_t scheme = text.starts_with("http://") ? 7 : text.starts_with("https://") ? 8 : 0;
    if (scheme == 0) {
        return bad("the address does not start with http:// or https://");
    }
    if (!is_visible(text)) {
        return bad("the address holds blanks or signs that no address may hold: percent-encode them");
    }
    const std::string_view rest = text.substr(scheme);
    const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
    if (Result<void> authority = check_authority(rest.substr(0, end)); !authority) {
        return std::move(authority).error();
    }
    if (rest.find('#') != std::string_view::npos) {
        return bad("the address has a fragment (#...), which no server is sent");
    }
    return rest.substr(end);
}

// One {NAME} at the start of `rest`: its length with the braces, or 0.
std::size_t placeholder_length(std::string_view rest) {
    const std::size_t end = rest.find('}');
    if (end == std::string_view::npos || end < 2) {
        return 0;
    }
    const std::string_view name = rest.substr(1, end - 1);
    return std::all_of(name.begin(), name.end(), is_word_char) ? end + 1 : 0;
}

}  // namespace

Result<void> check_http_base_url(const std::string& text) {
    Result<std::string_view> rest = check_http_url(text);
    if (!rest) {
        return std::move(rest).error();
    }
    if (rest->find_first_of("?{}") != std::string_view::npos) {
        return bad("the address ends with its path: no query (?...), no braces");
    }
    return {};
}

Result<void> check_base_url(const std::string& text) {
    if (text.starts_with(k_unix)) {
        return text.size() > k_unix.size() && is_visible(text) ? Result<void>{}
                                                               : Result<void>{bad("unix: needs the path of a socket")};
    }
    return check_http_base_url(text);
}

Result<void> check_tool_url(const std::string& text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '}') {
            return bad("a } in the address has no { before it");
        }
        if (text[i] != '{') {
            plain += text[i];
            continue;
        }
        const std::size_t length = placeholder_length(std::string_view(text).substr(i));
        if (length == 0) {
            return bad("an argument in the address is written {NAME}, of a-z, A-Z, 0-9, '_', '-' and '.'");
        }
        plain += '\x01';  // no address holds it: found again below
        i += length - 1;
    }
    std::string filled = plain;
    std::replace(filled.begin(), filled.end(), '\x01', 'x');
    const Result<std::string_view> rest = check_http_url(filled);
    if (!rest) {
        return rest.error();
    }
    const std::size_t head = filled.size() - rest->size();
    if (plain.substr(0, head).find('\x01') != std::string::npos) {
        return bad("only path and query may hold an argument, so that none can choose the server");
    }
    return {};
}

std::vector<std::string> url_placeholders(std::string_view url) {
    std::vector<std::string> names;
    for (std::size_t open = url.find('{'); open != std::string_view::npos; open = url.find('{', open + 1)) {
        const std::size_t length = placeholder_length(url.substr(open));
        if (length > 0) {
            names.emplace_back(url.substr(open + 1, length - 2));
        }
    }
    return names;
}

std::string without_last_slashes(std::string url) {
    url.erase(url.find_last_not_of('/') + 1);
    return url;
}

}  // namespace mt
