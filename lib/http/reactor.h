#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "http/connection.h"
#include "http/fd.h"
#include "http/net.h"
#include "http/reply.h"
#include "http/server.h"
#include "http/worker_pool.h"

namespace mt::http {

/// One thread that accepts connections, reads requests completely, hands them to the workers, minds the timeouts and
/// closes. Every socket is registered once, edge-triggered; while a worker owns a connection its events only leave
/// marks in Connection::flags, and the client's leaving stops the request. give_back() may be called from any thread,
/// the rest by the owner.
class Reactor {
  public:
    /// Errors: unavailable (the kernel gives no epoll). The references must outlive the reactor.
    static Result<std::unique_ptr<Reactor>> create(Listener listener, const ServerLimits& limits,
                                                   const FaultEncoder& encode, Log& log);
    Reactor(const Reactor&) = delete;
    Reactor& operator=(const Reactor&) = delete;
    ~Reactor() = default;

    /// Starts the thread. `pool` must not be destroyed before drain() has returned.
    void start(WorkerPool& pool);

    /// A worker has answered connection.message and set connection.ending; it must not touch the connection again.
    void give_back(Connection& connection);

    /// Takes what waits in the backlog, stops listening, closes idle connections, lets requests finish for `patience`,
    /// then stops their tokens and waits for the handlers. Returns when no connection is left.
    void drain(std::chrono::milliseconds patience);

    [[nodiscard]] const Address& address() const { return m_address; }
    [[nodiscard]] std::size_t connections() const { return m_count.load(std::memory_order_relaxed); }
    [[nodiscard]] const std::atomic<bool>& draining() const { return m_draining; }
    /// Set when a drain has run out of time: writers wait for nobody.
    [[nodiscard]] const std::atomic<bool>& abandon() const { return m_abandon; }

  private:
    Reactor(Listener listener, const ServerLimits& limits, const FaultEncoder& encode, Log& log);

    // The thread (reactor.cpp).
    void run();
    void handle(const epoll_event& event);
    void wake();
    [[nodiscard]] int wait_ms() const;
    void take_returned();
    void take_unfinished();
    void submit_ready();
    void keep_time();
    void drain_step();
    void run_out_of_time();
    void close_unfinished();
    void accept_some(int most);
    void add(UniqueFd fd, const Peer& peer);
    void pause_accepting(int code);

    // One connection (reactor_connection.cpp). Each of these may destroy it.
    void on_activity(Connection& connection, std::uint32_t events);
    void advance(Connection& connection);
    bool consume(Connection& connection, std::string_view bytes, bool drained);
    void dispatch(Connection& connection, bool drained);
    void await_more(Connection& connection);
    void returned(Connection& connection);
    void overloaded(Connection& connection);
    void refuse(Connection& connection, const Error& error);
    void expire(Connection& connection);
    void linger(Connection& connection);
    void discard(Connection& connection);
    void cut(Connection& connection);
    void close(Connection& connection);
    void set_phase(Connection& connection, Phase phase) const;
    bool send_now(const Connection& connection, std::string_view bytes) const;

    const ServerLimits& m_limits;
    const FaultEncoder& m_encode;
    Log& m_log;
    SystemClock m_clock{};
    Listener m_listener;
    Address m_address;
    UniqueFd m_epoll{};
    UniqueFd m_wake{};
    WorkerPool* m_pool = nullptr;
    DateField m_date{};
    std::vector<char> m_scratch;
    std::vector<std::unique_ptr<Connection>> m_connections{};  ///< by descriptor
    std::vector<Connection*> m_ready{};                        ///< complete requests of this turn
    std::vector<int> m_unfinished{};                           ///< descriptors with more to read, after a fair share
    std::int64_t m_now_ns = 0;
    std::int64_t m_next_sweep_ns = 0;
    std::int64_t m_accept_again_ns = 0;  ///< not 0: accepting pauses until then
    std::int64_t m_warn_again_ns = 0;    ///< when a full house may be logged again
    std::int64_t m_drain_end_ns = 0;     ///< not 0: the drain has begun

    std::atomic<std::size_t> m_count{0};
    std::atomic<bool> m_draining{false};
    std::atomic<bool> m_abandon{false};
    std::chrono::nanoseconds m_patience{0};  ///< written before m_draining
    std::mutex m_mutex{};                    ///< guards m_returned
    std::vector<Connection*> m_returned{};
    std::jthread m_thread{};
};

}  // namespace mt::http
