#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/networks.h"
#include "http/net.h"

namespace mt::http {

class PeerTable;

/// One connection's place among those of its peer; frees it at the end. Must not outlive its table.
class PeerTicket {
  public:
    PeerTicket() = default;  ///< of a peer that is not counted
    PeerTicket(PeerTable& table, const IpAddress& peer) : m_table(&table), m_peer(peer) {}
    PeerTicket(PeerTicket&& other) noexcept : m_table(std::exchange(other.m_table, nullptr)), m_peer(other.m_peer) {}
    PeerTicket& operator=(PeerTicket&&) = delete;
    PeerTicket(const PeerTicket&) = delete;
    PeerTicket& operator=(const PeerTicket&) = delete;
    ~PeerTicket();

  private:
    PeerTable* m_table = nullptr;
    IpAddress m_peer{};
};

/// Counts the connections of each address that is neither loopback nor a trusted proxy. The addresses of one IPv6 /64,
/// which is what one customer gets, count as one. Thread-safe.
class PeerTable {
  public:
    /// `most` connections per address, at least 1.
    explicit PeerTable(std::size_t most) : m_most(most) {}

    /// Nothing: this peer has as many connections as it may.
    std::optional<PeerTicket> admit(const Peer& peer);

  private:
    friend class PeerTicket;
    void leave(const IpAddress& peer);

    std::size_t m_most;
    std::mutex m_mutex{};
    std::map<IpAddress, std::size_t> m_connections{};
};

}  // namespace mt::http
