#include "http/reactor.h"

#include <fmt/core.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace mt::http {
namespace {

constexpr std::size_t k_scratch = 64UL * 1024;              // bytes of one read
constexpr std::int64_t k_sweep_ns = 250'000'000;            // how late a timeout may be noticed
constexpr std::int64_t k_poll_again_ns = 2'000'000;         // handlers run that long before others are looked after
constexpr std::int64_t k_reading_grace_ns = 1'000'000'000;  // for requests that are on their way when the drain begins

constexpr std::chrono::seconds k_retry_elsewhere{1};

constexpr std::uint32_t k_events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

bool watch(int epoll, int fd, std::uint32_t events, void* tag) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = tag;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

Reactor::Reactor(const Surroundings& around)
    : m_around(around),
      m_limits(around.limits),
      m_epoll(epoll_create1(EPOLL_CLOEXEC)),
      m_wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      m_scratch(k_scratch) {}

Result<std::unique_ptr<Reactor>> Reactor::create(const Surroundings& around) {
    std::unique_ptr<Reactor> reactor(new Reactor(around));
    if (!reactor->m_epoll || !reactor->m_wake ||
        !watch(reactor->m_epoll.get(), reactor->m_wake.get(), EPOLLIN, nullptr)) {
        return Error{Code::unavailable,
                     fmt::format("cannot wait for connections: {}", std::system_category().message(errno))};
    }
    return reactor;
}

void Reactor::adopt(std::unique_ptr<Connection> connection) {
    m_count.fetch_add(1, std::memory_order_relaxed);
    bool first = false;
    {
        const std::lock_guard lock(m_mutex);
        first = m_adopted.empty();
        m_adopted.push_back(std::move(connection));
    }
    if (first) {
        wake();
    }
}

void Reactor::give_back(Connection& connection) {
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

void Reactor::begin_drain(std::chrono::milliseconds patience) {
    m_patience = patience;
    m_draining.store(true);
    wake();
}

void Reactor::wake() {
    eventfd_write(m_wake.get(), 1);
}

Reactor::Outcome Reactor::run(Worker& worker, Seat::Tenure tenure) {
    while (m_drain_end_ns == 0 || connections() > 0) {
        // First of all: who takes over after a handler that waits finds the urgent requests that came meanwhile.
        poll();
        take_mail();
        take_unfinished();
        keep_time();
        if (m_draining.load()) {
            drain_step();
        }
        if (!answer_ready(worker, tenure)) {
            return Outcome::seat_lost;
        }
    }
    return Outcome::drained;
}

// False: the seat is lost, and nothing of the reactor may be touched but through the mailbox.
bool Reactor::answer_ready(Worker& worker, Seat::Tenure tenure) {
    if (m_ready.empty() && m_urgent.empty()) {
        return true;
    }
    m_around.pulse.beat();
    const std::int64_t until_ns = m_now_ns + k_poll_again_ns;
    do {
        Connection& connection = next_ready();
        if (m_now_ns - connection.ready_ns > std::chrono::nanoseconds{m_limits.queue_timeout}.count()) {
            overloaded(connection, "the request has waited too long for its turn");
            continue;
        }
        m_seat.begin(tenure, m_now_ns);
        worker.answer(connection, {m_draining, m_abandon});
        const bool waits = connection.parking.parked() && connection.parking.await();  // else it is still ours
        if (!m_seat.end(tenure)) {
            if (!waits) {
                give_back(connection);
            }
            return false;
        }
        m_now_ns = m_clock.boot_ns();
        if (!waits) {
            returned(connection);
        }
    } while (!(m_ready.empty() && m_urgent.empty()) && m_now_ns < until_ns);
    return true;
}

// Urgent requests go first, but a flood of them leaves every fifth turn to the others.
Connection& Reactor::next_ready() {
    constexpr int k_most_in_a_row = 4;
    const bool urgent = !m_urgent.empty() && (m_ready.empty() || m_urgent_in_a_row < k_most_in_a_row);
    m_urgent_in_a_row = urgent ? m_urgent_in_a_row + 1 : 0;
    std::deque<Connection*>& queue = urgent ? m_urgent : m_ready;
    Connection* next = queue.front();
    queue.pop_front();
    return *next;
}

void Reactor::poll() {
    std::array<epoll_event, 256> events{};
    const int count = epoll_wait(m_epoll.get(), events.data(), static_cast<int>(events.size()), wait_ms());
    m_now_ns = m_clock.boot_ns();
    for (int i = 0; i < count; ++i) {
        handle(events[static_cast<std::size_t>(i)]);
    }
}

void Reactor::handle(const epoll_event& event) {
    if (event.data.ptr != nullptr) {
        return on_activity(*static_cast<Connection*>(event.data.ptr), event.events);
    }
    eventfd_t ignored = 0;
    eventfd_read(m_wake.get(), &ignored);
}

int Reactor::wait_ms() const {
    if (!m_unfinished.empty() || !m_ready.empty() || !m_urgent.empty()) {
        return 0;
    }
    if (connections() == 0) {
        return m_drain_end_ns == 0 ? -1 : 0;  // drained: nothing will come any more
    }
    std::int64_t until_ns = m_next_sweep_ns;
    if (m_drain_end_ns != 0 && !m_abandon.load(std::memory_order_relaxed)) {
        until_ns = std::min(until_ns, m_drain_end_ns);
    }
    return static_cast<int>(std::max<std::int64_t>(0, until_ns - m_now_ns) / 1'000'000 + 1);
}

void Reactor::take_mail() {
    std::vector<Connection*> returned_now;
    std::vector<std::unique_ptr<Connection>> adopted_now;
    {
        const std::lock_guard lock(m_mutex);
        returned_now.swap(m_returned);
        adopted_now.swap(m_adopted);
    }
    for (Connection* connection : returned_now) {
        returned(*connection);
    }
    for (auto& connection : adopted_now) {
        add(std::move(connection));
    }
}

void Reactor::add(std::unique_ptr<Connection> connection) {
    const auto index = static_cast<std::size_t>(connection->channel.fd());
    if (!watch(m_epoll.get(), connection->channel.fd(), k_events, connection.get())) {
        m_count.fetch_sub(1, std::memory_order_relaxed);
        return;
    }
    connection->parking.set_run_again([this, parked = connection.get()] { give_back(*parked); });
    set_phase(*connection, connection->channel.ready() ? Phase::idle : Phase::handshake);
    if (index >= m_connections.size()) {
        m_connections.resize(index + 1);
    }
    m_connections[index] = std::move(connection);
}

void Reactor::take_unfinished() {
    for (const int fd : std::exchange(m_unfinished, {})) {
        Connection* connection = m_connections[static_cast<std::size_t>(fd)].get();
        if (connection != nullptr && (connection->flags.load() & k_busy) == 0) {
            advance(*connection);
        }
    }
}

void Reactor::keep_time() {
    if (m_now_ns < m_next_sweep_ns) {
        return;
    }
    m_next_sweep_ns = m_now_ns + k_sweep_ns;
    for (const auto& connection : m_connections) {
        if (connection && (connection->flags.load() & k_busy) == 0 && connection->deadline_ns <= m_now_ns) {
            expire(*connection);
        }
    }
}

void Reactor::drain_step() {
    if (m_drain_end_ns == 0) {
        m_drain_end_ns = m_now_ns + m_patience.count();
    }
    for (const auto& connection : m_connections) {
        // Reading once more serves the request that is already here; what stays idle is closed.
        const bool idle = connection && (connection->flags.load() & k_busy) == 0 && connection->phase == Phase::idle;
        if (idle || (connection && connection->phase == Phase::handshake)) {
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
    const Error stopping{Code::unavailable, "the server is shutting down", "drain", k_retry_elsewhere};
    for (const auto& connection : m_connections) {
        if (!connection || (connection->flags.load() & k_busy) != 0) {
            continue;
        }
        if (connection->phase == Phase::head || connection->phase == Phase::body) {
            refuse(*connection, stopping);
        } else if (connection->phase == Phase::idle || connection->phase == Phase::handshake) {
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

}  // namespace mt::http
