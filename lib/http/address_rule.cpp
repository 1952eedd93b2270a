#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/networks.h"
#include "http/upstream.h"

namespace mt::http {
namespace {

struct V4Network {
    std::uint32_t address;
    unsigned bits;
};

constexpr std::uint32_t v4(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    return (a << 24U) | (b << 16U) | (c << 8U);
}

// https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast (RFC 5771).
constexpr std::array k_special{
    V4Network{v4(0, 0, 0), 8},      V4Network{v4(10, 0, 0), 8},     V4Network{v4(100, 64, 0), 10},
    V4Network{v4(127, 0, 0), 8},    V4Network{v4(169, 254, 0), 16}, V4Network{v4(172, 16, 0), 12},
    V4Network{v4(192, 0, 0), 24},   V4Network{v4(192, 0, 2), 24},   V4Network{v4(192, 88, 99), 24},
    V4Network{v4(192, 168, 0), 16}, V4Network{v4(198, 18, 0), 15},  V4Network{v4(198, 51, 100), 24},
    V4Network{v4(203, 0, 113), 24}, V4Network{v4(224, 0, 0), 4},    V4Network{v4(240, 0, 0), 4},
};

bool starts_with(const IpAddress& address, std::initializer_list<std::uint8_t> bytes) {
    return std::equal(bytes.begin(), bytes.end(), address.begin());
}

std::uint32_t v4_at(const IpAddress& address, std::size_t at) {
    return v4(address.at(at), address.at(at + 1), address.at(at + 2)) | address.at(at + 3);
}

// The IPv4 address that stands for this one: mapped (RFC 4291 section 2.5.5.2), NAT64 (RFC 6052 section 2.1) or 6to4
// (RFC 3056 section 2).
std::optional<std::uint32_t> embedded_v4(const IpAddress& address) {
    constexpr std::size_t k_last = 12;
    if (starts_with(address, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}) ||
        starts_with(address, {0, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0})) {
        return v4_at(address, k_last);
    }
    return starts_with(address, {0x20, 0x02}) ? std::optional(v4_at(address, 2)) : std::nullopt;
}

bool is_public_v4(std::uint32_t address) {
    return std::none_of(k_special.begin(), k_special.end(), [&](const V4Network& network) {
        return (address ^ network.address) >> (32 - network.bits) == 0;
    });
}

// Only 2000::/3 is given out as global unicast (RFC 4291 section 2.4). Outside of it lie ::, ::1, 64:ff9b:1::/48,
// 100::/64, fc00::/7, fe80::/10, fec0::/10 and ff00::/8; inside it are networks for special use
// (https://www.iana.org/assignments/iana-ipv6-special-registry).
bool is_public_v6(const IpAddress& address) {
    const bool global = address[0] >> 5U == 1;
    const bool protocol = starts_with(address, {0x20, 0x01}) && address[2] < 2;  // 2001::/23, with Teredo
    const bool example = starts_with(address, {0x20, 0x01, 0x0D, 0xB8}) ||
                         (starts_with(address, {0x3F, 0xFF}) && address[2] < 0x10);  // RFC 3849, RFC 9637
    return global && !protocol && !example;
}

std::string text_of(std::uint32_t v4_address) {
    return fmt::format("{}.{}.{}.{}", v4_address >> 24U, (v4_address >> 16U) & 0xFFU, (v4_address >> 8U) & 0xFFU,
                       v4_address & 0xFFU);
}

}  // namespace

bool AddressRule::allows(std::string_view address) const {
    const std::optional<IpAddress> parsed = parse_ip(address);
    if (!public_only || !parsed) {
        return !public_only && parsed;
    }
    const std::optional<std::uint32_t> inner = embedded_v4(*parsed);
    if (exceptions.contains(address) || (inner && exceptions.contains(text_of(*inner)))) {
        return true;
    }
    return inner ? is_public_v4(*inner) : is_public_v6(*parsed);
}

}  // namespace mt::http
