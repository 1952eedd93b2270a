#include "redis/address.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/units.h"

namespace mt::redis {
namespace {

constexpr std::string_view k_schema = "redis://";
constexpr std::string_view k_tls_schema = "rediss://";
constexpr std::string_view k_unix_schema = "unix://";
constexpr std::int64_t k_most_databases = 1'000'000;

// No message repeats a part of the text: where a character is wrong, any part may hold the password.
Error fault(std::string_view what) {
    return Error{Code::invalid, fmt::format("a Redis address: {}; use redis://[user[:password]@]host[:port][/database] "
                                            "or unix:///path[?db=N&user=U&password=P]",
                                            what)};
}

int hex_digit(char digit) {
    constexpr std::string_view k_digits = "0123456789abcdef";
    const std::size_t at = k_digits.find(static_cast<char>(std::tolower(static_cast<unsigned char>(digit))));
    return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

std::optional<std::string> percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

Result<void> read_database(std::string_view text, Address& address) {
    const Result<std::int64_t> number = parse_integer(text);
    if (!number || *number < 0 || *number >= k_most_databases) {
        return fault("the database is not a number from 0 on");
    }
    address.database = static_cast<int>(*number);
    return {};
}

Result<void> read_login(std::string_view text, Address& address) {
    const std::size_t colon = text.find(':');
    const std::optional<std::string> user = percent_decoded(text.substr(0, colon));
    const std::optional<std::string> password =
        percent_decoded(colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1));
    if (!user || !password) {
        return fault("user or password has a % without two hexadecimal digits");
    }
    address.user = *user;
    address.password = *password;
    return {};
}

Result<void> read_port(std::string_view text, Address& address) {
    const Result<std::int64_t> port = parse_integer(text);
    if (!port || *port < 1 || *port > 65535) {
        return fault("the port is not a number from 1 to 65535");
    }
    address.port = static_cast<int>(*port);
    return {};
}

Result<void> read_host(std::string_view text, Address& address) {
    std::string_view port;
    std::string_view host = text;
    if (text.starts_with('[')) {
        const std::size_t end = text.find(']');
        if (end == std::string_view::npos) {
            return fault("the bracket of an IPv6 address is not closed");
        }
        host = text.substr(1, end - 1);
        port = text.substr(end + 1);
    } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
        host = text.substr(0, colon);
        port = text.substr(colon);
    }
    const bool plain = std::all_of(host.begin(), host.end(), [](char c) { return c > ' ' && c < '\x7f' && c != '%'; });
    if (host.empty() || !plain) {
        return fault("the host is missing or has characters that no host has");
    }
    address.host = std::string(host);
    if (port.empty()) {
        return {};
    }
    return port.starts_with(':') ? read_port(port.substr(1), address)
                                 : Result<void>(fault("something stands between host and port"));
}

Result<void> read_option(std::string_view option, Address& address) {
    const std::size_t equals = option.find('=');
    const std::string_view name = option.substr(0, equals);
    const std::optional<std::string> value =
        percent_decoded(equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1));
    if (!value) {
        return fault("an option has a % without two hexadecimal digits");
    }
    if (name == "db") {
        return read_database(*value, address);
    }
    if (name == "password") {
        address.password = *value;
        return {};
    }
    if (name == "user") {
        address.user = *value;
        return {};
    }
    return fault("there is an option that is none of db, user and password");
}

Result<Address> parse_socket(std::string_view text) {
    Address address;
    const std::size_t question = text.find('?');
    const std::string_view path = text.substr(0, question);
    if (!path.starts_with('/') || path.size() == 1) {
        return fault("the path of the socket does not start with /");
    }
    address.socket = std::string(path);
    std::string_view options = question == std::string_view::npos ? std::string_view() : text.substr(question + 1);
    while (!options.empty()) {
        const std::size_t end = std::min(options.find('&'), options.size());
        if (Result<void> read = read_option(options.substr(0, end), address); !read) {
            return std::move(read).error();
        }
        options.remove_prefix(std::min(end + 1, options.size()));
    }
    return address;
}

}  // namespace

std::string Address::to_string() const {
    if (!socket.empty()) {
        return fmt::format("unix://{}", socket);
    }
    const bool ipv6 = host.find(':') != std::string::npos;
    return fmt::format("redis://{}{}{}:{}/{}", ipv6 ? "[" : "", host, ipv6 ? "]" : "", port, database);
}

Result<Address> parse_address(std::string_view text) {
    if (text.starts_with(k_tls_schema)) {
        return fault("rediss:// is not spoken: TLS goes through a stunnel on this machine");
    }
    if (text.starts_with(k_unix_schema)) {
        return parse_socket(text.substr(k_unix_schema.size()));
    }
    if (text.starts_with(k_schema)) {
        text.remove_prefix(k_schema.size());
    } else if (text.find("://") != std::string_view::npos) {
        return fault("the scheme is neither redis:// nor unix://");
    }
    Address address;
    const std::size_t at = text.rfind('@');
    std::string_view place = text;
    if (at != std::string_view::npos) {
        if (Result<void> read = read_login(text.substr(0, at), address); !read) {
            return std::move(read).error();
        }
        place = text.substr(at + 1);
    }
    const std::size_t slash = place.find('/');
    if (slash != std::string_view::npos && slash + 1 < place.size()) {
        if (Result<void> read = read_database(place.substr(slash + 1), address); !read) {
            return std::move(read).error();
        }
    }
    if (Result<void> read = read_host(place.substr(0, slash), address); !read) {
        return std::move(read).error();
    }
    return address;
}

}  // namespace mt::redis
