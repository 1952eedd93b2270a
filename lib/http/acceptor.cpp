#include "http/acceptor.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

namespace mt::http {
namespace {

constexpr int k_pause_ms = 100;  // after the process ran out of descriptors
constexpr std::int64_t k_warn_again_ns = 60'000'000'000;
constexpr std::chrono::seconds k_retry_after{1};

bool out_of_resources(int code) {
    return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

}  // namespace

Acceptor::Acceptor(Listener listener, const Reactor::Surroundings& around,
                   std::span<const std::unique_ptr<Reactor>> reactors, std::shared_ptr<const TlsContext> tls, Log& log)
    : m_listener(std::move(listener)),
      m_around(around),
      m_reactors(reactors),
      m_log(log),
      m_peers(around.limits.max_connections_per_peer),
      m_stop(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      m_tls(std::move(tls)) {}

Result<void> Acceptor::start() {
    try {
        if (m_stop) {
            m_thread = std::jthread([this] { run(); });
            return {};
        }
    } catch (const std::system_error&) {  // no thread: said below
    }
    return Error{Code::unavailable, "the system gives no thread or descriptor to accept connections with"};
}

void Acceptor::stop() {
    if (m_thread.joinable()) {
        eventfd_write(m_stop.get(), 1);
        m_thread.join();
    }
    m_listener.close();
}

void Acceptor::use(std::shared_ptr<const TlsContext> tls) {
    const std::lock_guard lock(m_mutex);
    m_tls = std::move(tls);
}

void Acceptor::run() {
    constexpr int k_forever = -1;
    Next next = Next::wait;
    std::array<pollfd, 2> waiting{pollfd{m_stop.get(), POLLIN, 0}, pollfd{m_listener.fd(), POLLIN, 0}};
    while (true) {
        const bool pausing = next == Next::pause;
        poll(waiting.data(), pausing ? 1 : waiting.size(), pausing ? k_pause_ms : k_forever);
        const bool last = waiting[0].revents != 0;
        if (last) {
            return finish();
        }
        next = accept_all(false);
    }
}

// Handshakes that have begun may still end, which takes their clients a round trip.
void Acceptor::finish() {
    constexpr int k_handshake_ms = 20;
    constexpr int k_most_rounds = 50;  // somebody may go on opening connections that were begun before
    m_listener.turn_away();
    const bool tcp = m_listener.address().unix_path.empty();
    pollfd waiting{m_listener.fd(), POLLIN, 0};
    int round = 0;
    // Without a free descriptor the rest cannot be taken: it would stay readable for ever.
    while (accept_all(true) == Next::wait && tcp && ++round < k_most_rounds && poll(&waiting, 1, k_handshake_ms) > 0) {
    }
}

// `last`: the server stops, what waits in the backlog is taken whatever the number.
Acceptor::Next Acceptor::accept_all(bool last) {
    while (last || !is_full()) {
        sockaddr_storage from{};
        socklen_t size = sizeof(from);
        UniqueFd fd(accept4(m_listener.fd(), static_cast<sockaddr*>(static_cast<void*>(&from)), &size,
                            SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (fd) {
            take(std::move(fd), from);
        } else if (errno == EAGAIN || (last && errno == EINVAL)) {
            return Next::wait;
        } else if (out_of_resources(errno)) {
            warn(errno);
            return Next::pause;
        }
        // Anything else concerns a client that has left already.
    }
    warn(EMFILE);
    return Next::pause;
}

void Acceptor::take(UniqueFd fd, const sockaddr_storage& from) {
    Peer peer = name_peer(from);
    peer.trusted = m_around.trusted.contains(peer.name);
    std::optional<PeerTicket> ticket = m_peers.admit(peer);
    if (!ticket) {
        return refuse(fd, peer);
    }
    std::unique_ptr<TlsSession> session;
    {
        const std::lock_guard lock(m_mutex);
        session = m_tls ? TlsSession::create(*m_tls, fd.get()) : nullptr;
        if (m_tls && !session) {
            return;
        }
    }
    const auto least = std::min_element(m_reactors.begin(), m_reactors.end(), [](const auto& a, const auto& b) {
        return a->connections() < b->connections();
    });
    (*least)->adopt(std::make_unique<Connection>(Channel(std::move(fd), std::move(session)), peer, *std::move(ticket),
                                                 m_around.limits, m_around.load));
}

// Best effort: a reply may be lost, because nothing is read and nobody waits.
void Acceptor::refuse(const UniqueFd& fd, const Peer& peer) {
    const Error error{Code::busy, fmt::format("too many connections from {}", peer.name), "connections", k_retry_after};
    if (m_around.hooks.on_refusal) {
        m_around.hooks.on_refusal(error);
    }
    const std::lock_guard lock(m_mutex);
    if (!m_tls) {
        const std::string reply =
            format_reply(encode_fault(m_around.hooks.encode_fault, error), Persistence::close, m_date);
        send(fd.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
    }
}

bool Acceptor::is_full() const {
    std::size_t open = 0;
    for (const auto& reactor : m_reactors) {
        open += reactor->connections();
    }
    return open >= m_around.limits.max_connections;
}

void Acceptor::warn(int code) {
    const std::int64_t now_ns = m_clock.boot_ns();
    if (now_ns >= m_warn_again_ns) {
        m_log.warning(fmt::format("no more connections are accepted on {} for now: {}", address().to_string(),
                                  std::system_category().message(code)));
        m_warn_again_ns = now_ns + k_warn_again_ns;
    }
}

}  // namespace mt::http
