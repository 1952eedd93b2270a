#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/networks.h"
#include "base/result.h"
#include "http/connection.h"
#include "http/fd.h"
#include "http/load.h"
#include "http/pulse.h"
#include "http/reply.h"
#include "http/seat.h"
#include "http/server.h"
#include "http/worker.h"

namespace mt::http {

/// An event loop with its connections: reads requests completely, runs their handlers, writes, minds the timeouts and
/// closes. Run by one thread at a time, the holder of its seat; a handler that loses the seat gives its connection back
/// through the mailbox. Every socket is registered once, edge-triggered; while a handler owns a connection its events
/// only leave marks in Connection::flags, and the client's leaving stops the request. adopt(), give_back() and
/// begin_drain() may be called from any thread, run() by the holder of the seat.
class Reactor {
  public:
    /// What all reactors of a server share. Outlives them.
    struct Surroundings {
        const ServerLimits& limits;
        const Hooks& hooks;
        const Networks& trusted;  ///< proxies
        Load& load;
        Pulse& pulse;
    };

    /// Errors: unavailable (the kernel gives no epoll).
    static Result<std::unique_ptr<Reactor>> create(const Surroundings& around);
    Reactor(const Reactor&) = delete;
    Reactor& operator=(const Reactor&) = delete;
    ~Reactor() = default;

    /// Takes over a new connection.
    void adopt(std::unique_ptr<Connection> connection);

    /// No further requests: closes idle connections, lets those in flight finish for `patience`, then stops their
    /// tokens and waits for the handlers.
    void begin_drain(std::chrono::milliseconds patience);

    enum class Outcome { drained, seat_lost };
    /// Runs the loop until it is drained or a handler of it lost the seat.
    Outcome run(Worker& worker, Seat::Tenure tenure);

    Seat& seat() { return m_seat; }
    [[nodiscard]] std::size_t connections() const { return m_count.load(std::memory_order_relaxed); }

  private:
    explicit Reactor(const Surroundings& around);

    // The loop (reactor.cpp).
    bool answer_ready(Worker& worker, Seat::Tenure tenure);
    Connection& next_ready();
    void poll();
    void handle(const epoll_event& event);
    void wake();
    void give_back(Connection& connection);
    [[nodiscard]] int wait_ms() const;
    void take_mail();
    void add(std::unique_ptr<Connection> connection);
    void take_unfinished();
    void keep_time();
    void drain_step();
    void close_unfinished();
    void run_out_of_time();

    // One connection (reactor_connection.cpp). Each of these may destroy it.
    void on_activity(Connection& connection, std::uint32_t events);
    void advance(Connection& connection);
    bool shake_hands(Connection& connection);
    bool consume(Connection& connection, std::string_view bytes, bool drained);
    void dispatch(Connection& connection, bool drained);
    void await_more(Connection& connection);
    void returned(Connection& connection);
    void flush(Connection& connection);
    void go_on(Connection& connection);
    void overloaded(Connection& connection, std::string_view why);
    void refuse(Connection& connection, const Error& error);
    void expire(Connection& connection);
    void linger(Connection& connection);
    void discard(Connection& connection);
    void cut(Connection& connection);
    void close(Connection& connection);
    void set_phase(Connection& connection, Phase phase) const;
    [[nodiscard]] std::string fault_reply(const Connection& connection, const Error& error, Persistence persistence);

    Surroundings m_around;
    const ServerLimits& m_limits;
    SystemClock m_clock{};
    Seat m_seat{};
    UniqueFd m_epoll{};
    UniqueFd m_wake{};
    DateField m_date{};
    std::vector<char> m_scratch;
    std::vector<std::unique_ptr<Connection>> m_connections{};  ///< by descriptor
    std::deque<Connection*> m_ready{};                         ///< complete requests that wait for their handler
    std::deque<Connection*> m_urgent{};                        ///< those that overtake
    int m_urgent_in_a_row = 0;
    std::vector<int> m_unfinished{};  ///< descriptors with more to do, after a fair share
    std::int64_t m_now_ns = 0;
    std::int64_t m_next_sweep_ns = 0;
    std::int64_t m_drain_end_ns = 0;  ///< not 0: the drain has begun

    std::atomic<std::size_t> m_count{0};
    std::atomic<bool> m_draining{false};
    std::atomic<bool> m_abandon{false};      ///< the drain has run out of time
    std::chrono::nanoseconds m_patience{0};  ///< written before m_draining
    std::mutex m_mutex{};                    ///< guards the mail
    std::vector<Connection*> m_returned{};
    std::vector<std::unique_ptr<Connection>> m_adopted{};
};

}  // namespace mt::http
