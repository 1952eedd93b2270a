#include "http/peers.h"

#include <algorithm>

namespace mt::http {
namespace {

IpAddress counted_as(IpAddress address) {
    const bool mapped_v4 = std::all_of(address.begin(), address.begin() + 10, [](auto byte) { return byte == 0; }) &&
                           address[10] == 0xFF && address[11] == 0xFF;
    if (!mapped_v4) {
        std::fill(address.begin() + 8, address.end(), std::uint8_t{0});
    }
    return address;
}

}  // namespace

PeerTicket::~PeerTicket() {
    if (m_table != nullptr) {
        m_table->leave(m_peer);
    }
}

std::optional<PeerTicket> PeerTable::admit(const Peer& peer) {
    const std::optional<IpAddress> address = peer.loopback ? std::nullopt : parse_ip(peer.name);
    if (!address || peer.trusted) {
        return PeerTicket();
    }
    const IpAddress key = counted_as(*address);
    const std::lock_guard lock(m_mutex);
    std::size_t& count = m_connections[key];
    if (count >= m_most) {
        return std::nullopt;  // m_most is not 0, so this is no fresh entry
    }
    ++count;
    return PeerTicket(*this, key);
}

void PeerTable::leave(const IpAddress& peer) {
    const std::lock_guard lock(m_mutex);
    const auto found = m_connections.find(peer);
    if (--found->second == 0) {
        m_connections.erase(found);
    }
}

}  // namespace mt::http
