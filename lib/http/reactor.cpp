#include "http/reactor.h"

#include <fmt/core.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <system_error>
#include <utility>

namespace mt::http {
namespace {

constexpr std::size_t k_scratch = 64UL * 1024;           // bytes of one read
constexpr std::int64_t k_sweep_ns = 250'000'000;         // how late a timeout may be noticed
constexpr std::int64_t k_accept_pause_ns = 100'000'000;  // after the process ran out of descriptors
constexpr int k_accepts_per_turn = 64;
constexpr std::int64_t k_reading_grace_ns = 1'000'000'000;  // for requests that are on their way when the drain begins
constexpr std::int64_t k_warn_again_ns = 60'000'000'000;

bool watch(int epoll, int fd, std::uint32_t events, void* tag) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = tag;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

Reactor::Reactor(Listener listener, const ServerLimits& limits, const FaultEncoder& encode, Log& log)
    : m_limits(limits),
      m_encode(encode),
      m_log(log),
      m_listener(std::move(listener)),
      m_address(m_listener.address()),
      m_epoll(epoll_create1(EPOLL_CLOEXEC)),
      m_wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      m_scratch(k_scratch) {}

Result<std::unique_ptr<Reactor>> Reactor::create(Listener listener, const ServerLimits& limits,
                                                 const FaultEncoder& encode, Log& log) {
    std::unique_ptr<Reactor> reactor(new Reactor(std::move(listener), limits, encode, log));
    if (!reactor->m_epoll || !reactor->m_wake ||
        !watch(reactor->m_epoll.get(), reactor->m_wake.get(), EPOLLIN, &reactor->m_wake) ||
        !watch(reactor->m_epoll.get(), reactor->m_listener.fd(), EPOLLIN, &reactor->m_listener)) {
        return Error{Code::unavailable,
                     fmt::format("cannot wait for connections on {}: {}", reactor->m_address.to_string(),
                                 std::system_category().message(errno))};
    }
    return reactor;
}

void Reactor::start(WorkerPool& pool) {
    m_pool = &pool;
    m_thread = std::jthread([this] { run(); });
}

void Reactor::give_back(Connection& connection) {
    if (connection.ending == Ending::keep && connection.pending.empty()) {
        const std::int64_t idle_ns = std::chrono::nanoseconds{m_limits.idle_timeout}.count();
        connection.deadline_ns.store(m_clock.boot_ns() + idle_ns, std::memory_order_relaxed);
        unsigned expected = k_busy;
        // Nothing happened meanwhile: no need to wake the reactor, its next event finds the connection free.
        if (connection.flags.compare_exchange_strong(expected, 0)) {
            if (m_draining.load()) {
                wake();  // either we see the drain here, or its scan sees the cleared flag
            }
            return;
        }
    }
    bool first = false;
    {
        const std::lock_guard lock(m_mutex);
        first = m_returned.empty();
        m_returned.push_back(&connection);
    }
    if (first) {
        wake();
    }
}

void Reactor::drain(std::chrono::milliseconds patience) {
    m_patience = patience;
    m_draining.store(true);
    wake();
    m_thread.join();
}

void Reactor::wake() {
    eventfd_write(m_wake.get(), 1);
}

void Reactor::run() {
    std::array<epoll_event, 256> events{};
    while (m_drain_end_ns == 0 || connections() > 0) {
        const int count = epoll_wait(m_epoll.get(), events.data(), static_cast<int>(events.size()), wait_ms());
        m_now_ns = m_clock.boot_ns();
        for (int i = 0; i < count; ++i) {
            handle(events[static_cast<std::size_t>(i)]);
        }
        take_returned();
        take_unfinished();
        keep_time();
        if (m_draining.load()) {
            drain_step();
        }
        submit_ready();
    }
}

void Reactor::handle(const epoll_event& event) {
    if (event.data.ptr == &m_wake) {
        eventfd_t ignored = 0;
        eventfd_read(m_wake.get(), &ignored);
    } else if (event.data.ptr == &m_listener) {
        accept_some(k_accepts_per_turn);
    } else {
        on_activity(*static_cast<Connection*>(event.data.ptr), event.events);
    }
}

int Reactor::wait_ms() const {
    if (!m_unfinished.empty()) {
        return 0;
    }
    if (connections() == 0 && m_accept_again_ns == 0) {
        return -1;
    }
    std::int64_t until_ns = m_next_sweep_ns;
    if (m_accept_again_ns != 0) {
        until_ns = std::min(until_ns, m_accept_again_ns);
    }
    if (m_drain_end_ns != 0 && !m_abandon.load(std::memory_order_relaxed)) {
        until_ns = std::min(until_ns, m_drain_end_ns);
    }
    return static_cast<int>(std::max<std::int64_t>(0, until_ns - m_now_ns) / 1'000'000 + 1);
}

void Reactor::take_returned() {
    std::vector<Connection*> returned_now;
    {
        const std::lock_guard lock(m_mutex);
        returned_now.swap(m_returned);
    }
    for (Connection* connection : returned_now) {
        returned(*connection);
    }
}

void Reactor::take_unfinished() {
    for (const int fd : std::exchange(m_unfinished, {})) {
        Connection* connection = m_connections[static_cast<std::size_t>(fd)].get();
        if (connection != nullptr && (connection->flags.load() & k_busy) == 0) {
            advance(*connection);
        }
    }
}

void Reactor::submit_ready() {
    const std::size_t taken = m_pool->submit(m_ready);
    for (std::size_t i = taken; i < m_ready.size(); ++i) {
        overloaded(*m_ready[i]);
    }
    m_ready.clear();
}

void Reactor::keep_time() {
    if (m_accept_again_ns != 0 && m_now_ns >= m_accept_again_ns && m_drain_end_ns == 0) {
        m_accept_again_ns = 0;
        watch(m_epoll.get(), m_listener.fd(), EPOLLIN, &m_listener);
    }
    if (m_now_ns < m_next_sweep_ns) {
        return;
    }
    m_next_sweep_ns = m_now_ns + k_sweep_ns;
    for (const auto& connection : m_connections) {
        if (connection && (connection->flags.load() & k_busy) == 0 && connection->deadline_ns.load() <= m_now_ns) {
            expire(*connection);
        }
    }
}

void Reactor::drain_step() {
    if (m_drain_end_ns == 0) {
        accept_some(std::numeric_limits<int>::max());
        m_listener.close();
        m_accept_again_ns = 0;
        m_drain_end_ns = m_now_ns + m_patience.count();
    }
    for (const auto& connection : m_connections) {
        // Reading once more serves the request that is already here; what stays idle is closed.
        if (connection && (connection->flags.load() & k_busy) == 0 && connection->phase == Phase::idle) {
            advance(*connection);
        }
    }
    if (m_now_ns >= m_drain_end_ns) {
        run_out_of_time();
    } else if (m_now_ns >= m_drain_end_ns - m_patience.count() + k_reading_grace_ns) {
        close_unfinished();
    }
}

// A request that is still on its way is no call in flight: its sender has had the time of grace.
void Reactor::close_unfinished() {
    for (const auto& connection : m_connections) {
        const bool reading = connection && (connection->flags.load() & k_busy) == 0 &&
                             (connection->phase == Phase::head || connection->phase == Phase::body);
        if (reading) {
            close(*connection);
        }
    }
}

void Reactor::run_out_of_time() {
    m_abandon.store(true);
    for (const auto& connection : m_connections) {
        if (connection && (connection->flags.load() & k_busy) != 0) {
            connection->stop.request_stop();
        } else if (connection) {
            close(*connection);
        }
    }
}

void Reactor::accept_some(int most) {
    for (int i = 0; i < most; ++i) {
        if (connections() >= m_limits.max_connections && m_drain_end_ns == 0) {
            return pause_accepting(EMFILE);
        }
        sockaddr_storage address{};
        socklen_t size = sizeof(address);
        UniqueFd fd(accept4(m_listener.fd(), static_cast<sockaddr*>(static_cast<void*>(&address)), &size,
                            SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (fd) {
            add(std::move(fd), name_peer(address));
            continue;
        }
        if (errno == EAGAIN) {
            return;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            return pause_accepting(errno);
        }
        // Anything else concerns a client that has left already.
    }
}

void Reactor::add(UniqueFd fd, const Peer& peer) {
    const auto index = static_cast<std::size_t>(fd.get());
    auto connection = std::make_unique<Connection>(std::move(fd), peer.name, peer.loopback, m_limits);
    set_phase(*connection, Phase::idle);
    constexpr std::uint32_t k_events = EPOLLIN | EPOLLRDHUP | EPOLLET;
    if (!watch(m_epoll.get(), connection->fd.get(), k_events, connection.get())) {
        return;
    }
    if (index >= m_connections.size()) {
        m_connections.resize(index + 1);
    }
    m_connections[index] = std::move(connection);
    m_count.fetch_add(1, std::memory_order_relaxed);
}

// Out of descriptors: the listener would report the same connection again and again.
void Reactor::pause_accepting(int code) {
    if (m_now_ns >= m_warn_again_ns) {
        m_log.warning(fmt::format("{} connections are open on {}, no more are accepted for now: {}", connections(),
                                  m_address.to_string(), std::system_category().message(code)));
        m_warn_again_ns = m_now_ns + k_warn_again_ns;
    }
    epoll_ctl(m_epoll.get(), EPOLL_CTL_DEL, m_listener.fd(), nullptr);
    m_accept_again_ns = m_now_ns + k_accept_pause_ns;
}

}  // namespace mt::http
