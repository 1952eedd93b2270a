#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>

#include "base/text.h"
#include "http/grammar.h"
#include "http/net.h"
#include "http/server.h"

namespace mt::http {
namespace {

constexpr std::string_view k_unix = "unix:";

std::optional<int> read_port(std::string_view digits) {
    int port = -1;
    const auto [stop, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    const bool good = fault == std::errc{} && stop == digits.data() + digits.size() && port >= 0 && port <= 65535;
    return good ? std::optional(port) : std::nullopt;
}

Error bad_address(std::string_view text) {
    return Error{Code::invalid,
                 fmt::format("{} is no address: write HOST:PORT, [IPv6]:PORT, :PORT, PORT or unix:PATH", quote(text))};
}

}  // namespace

bool is_loopback_host(const std::string& host) {
    in_addr v4{};
    if (inet_pton(AF_INET, host.c_str(), &v4) == 1) {
        return ntohl(v4.s_addr) >> 24U == 127;
    }
    in6_addr v6{};
    if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    }
    return equal_ignoring_case(host, "localhost");  // RFC 6761 section 6.3
}

bool Address::is_loopback() const {
    return !unix_path.empty() || is_loopback_host(host);
}

std::string Address::to_string() const {
    if (!unix_path.empty()) {
        return fmt::format("{}{}", k_unix, unix_path);
    }
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

std::string Address::url() const {
    if (!unix_path.empty()) {
        return to_string();
    }
    Address dialled = *this;
    if (host.empty() || host == "0.0.0.0" || host == "::") {  // all addresses: loopback is one of them
        dialled.host = host == "::" ? "::1" : "127.0.0.1";
    }
    return "http://" + dialled.to_string();
}

Result<Address> parse_address(std::string_view text) {
    if (text.substr(0, k_unix.size()) == k_unix) {
        const std::string_view path = text.substr(k_unix.size());
        if (path.empty() || path.find('\0') != std::string_view::npos) {
            return bad_address(text);
        }
        return Address{"", 0, std::string(path)};
    }
    const std::size_t colon = text.rfind(':');
    const bool port_alone = colon == std::string_view::npos;
    const std::optional<int> port = read_port(port_alone ? text : text.substr(colon + 1));
    if (!port || (!port_alone && !is_visible(text))) {
        return bad_address(text);
    }
    if (port_alone) {
        return Address{"127.0.0.1", *port, ""};
    }
    if (colon == 0) {
        return Address{"::", *port, ""};
    }
    std::string host(text.substr(0, colon));
    if (host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
        in6_addr v6{};
        return inet_pton(AF_INET6, host.c_str(), &v6) == 1 ? Result<Address>(Address{host, *port, ""})
                                                           : bad_address(text);
    }
    if (!is_authority(host)) {
        return bad_address(text);
    }
    return Address{host, *port, ""};
}

}  // namespace mt::http
