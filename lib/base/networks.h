#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mt {

/// An IPv6 address; IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2).
using IpAddress = std::array<std::uint8_t, 16>;

/// Reads a numeric address, nothing for anything else.
std::optional<IpAddress> parse_ip(std::string_view text);

/// A set of networks. Immutable, thread-safe.
class Networks {
  public:
    /// Reads "10.0.0.0/8", "2001:db8::/32", single addresses, and "unix" for the clients of a unix socket. Errors:
    /// invalid, naming the text.
    static Result<Networks> parse(std::span<const std::string> texts);

    /// `peer` is a numeric address or "unix".
    [[nodiscard]] bool contains(std::string_view peer) const;
    [[nodiscard]] bool empty() const { return m_networks.empty() && !m_unix; }

  private:
    struct Network {
        IpAddress address;
        unsigned bits;
    };
    std::vector<Network> m_networks{};
    bool m_unix = false;
};

}  // namespace mt
