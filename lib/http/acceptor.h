#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "base/log.h"
#include "http/net.h"
#include "http/peers.h"
#include "http/reactor.h"
#include "http/reply.h"
#include "http/tls.h"

namespace mt::http {

/// The thread that accepts connections and shares them out among the reactors, the least loaded one first. Refuses
/// peers that have too many; waits while the process is out of descriptors. start() and stop() are for the owner.
class Acceptor {
  public:
    /// All must outlive the acceptor. `tls` is null for plain connections.
    Acceptor(Listener listener, const Reactor::Surroundings& around, std::span<const std::unique_ptr<Reactor>> reactors,
             std::shared_ptr<const TlsContext> tls, Log& log);
    Acceptor(const Acceptor&) = delete;
    Acceptor& operator=(const Acceptor&) = delete;
    ~Acceptor() { stop(); }

    /// Errors: unavailable (no thread, no descriptor).
    Result<void> start();
    /// Takes what waits in the backlog, closes the listener, ends the thread. Idempotent.
    void stop();

    /// For connections to come. Thread-safe.
    void use(std::shared_ptr<const TlsContext> tls);

    [[nodiscard]] const Address& address() const { return m_listener.address(); }

  private:
    enum class Next { wait, pause };  ///< what to do after accepting: wait for more, or until descriptors are free

    void run();
    void finish();
    Next accept_all(bool last);
    void take(UniqueFd fd, const sockaddr_storage& from);
    void refuse(const UniqueFd& fd, const Peer& peer);
    [[nodiscard]] bool is_full() const;
    void warn(int code);

    Listener m_listener;
    Reactor::Surroundings m_around;
    std::span<const std::unique_ptr<Reactor>> m_reactors;
    Log& m_log;
    PeerTable m_peers;
    UniqueFd m_stop{};
    DateField m_date{};
    SystemClock m_clock{};
    std::int64_t m_warn_again_ns = 0;  ///< when a full house may be logged again
    std::mutex m_mutex{};              ///< guards m_tls
    std::shared_ptr<const TlsContext> m_tls;
    std::jthread m_thread{};
};

}  // namespace mt::http
