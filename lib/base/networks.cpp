#include "base/networks.h"

#include <arpa/inet.h>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "base/text.h"

namespace mt {
namespace {

constexpr unsigned k_bits_before_v4 = 96;
constexpr unsigned k_all_bits = 128;

bool same_prefix(const IpAddress& a, const IpAddress& b, unsigned bits) {
    const std::size_t whole = bits / 8;
    if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin())) {
        return false;
    }
    const unsigned rest = bits % 8;
    return rest == 0 || (a.at(whole) >> (8 - rest)) == (b.at(whole) >> (8 - rest));
}

// Digits alone, without a leading zero.
std::optional<unsigned> read_prefix(std::string_view digits) {
    unsigned bits = 0;
    const auto [stop, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    const bool whole = fault == std::errc{} && stop == digits.data() + digits.size();
    return whole && (digits.size() == 1 || digits.front() != '0') ? std::optional(bits) : std::nullopt;
}

}  // namespace

std::optional<IpAddress> parse_ip(std::string_view text) {
    const std::string terminated(text);
    IpAddress address{};
    in_addr v4{};
    if (inet_pton(AF_INET, terminated.c_str(), &v4) == 1) {
        address[10] = 0xFF;
        address[11] = 0xFF;
        std::memcpy(&address[12], &v4, sizeof(v4));
        return address;
    }
    return inet_pton(AF_INET6, terminated.c_str(), address.data()) == 1 ? std::optional(address) : std::nullopt;
}

Result<Networks> Networks::parse(std::span<const std::string> texts) {
    Networks networks;
    for (const std::string& text : texts) {
        if (text == "unix") {
            networks.m_unix = true;
            continue;
        }
        const std::size_t slash = std::min(text.find('/'), text.size());
        const std::optional<IpAddress> address = parse_ip(text.substr(0, slash));
        const bool v4 = text.substr(0, slash).find(':') == std::string::npos;
        const unsigned most = v4 ? k_all_bits - k_bits_before_v4 : k_all_bits;
        const std::optional<unsigned> bits =
            slash == text.size() ? std::optional(most) : read_prefix(std::string_view(text).substr(slash + 1));
        if (!address || !bits || *bits > most) {
            return Error{
                Code::invalid,
                fmt::format("{} is no network: write 10.0.0.0/8, 2001:db8::/32, one address, or unix", quote(text))};
        }
        networks.m_networks.push_back({*address, *bits + (v4 ? k_bits_before_v4 : 0)});
    }
    return networks;
}

bool Networks::contains(std::string_view peer) const {
    if (peer == "unix") {
        return m_unix;
    }
    const std::optional<IpAddress> address = m_networks.empty() ? std::nullopt : parse_ip(peer);
    return address && std::any_of(m_networks.begin(), m_networks.end(), [&](const Network& network) {
               return same_prefix(network.address, *address, network.bits);
           });
}

}  // namespace mt
