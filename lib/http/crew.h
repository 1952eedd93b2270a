#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "http/load.h"
#include "http/pulse.h"
#include "http/reactor.h"
#include "http/worker.h"

namespace mt::http {

/// The threads of a server. Each reactor has one thread as its runner, which reads, runs handlers and writes; so a
/// request that waits for nothing costs no change of threads. A handler that is about to wait leaves its seat
/// (BlockingRegion), one that takes longer than a few milliseconds loses it to the watchdog; a spare thread then runs
/// the reactor, and the old one becomes a spare when its handler is done. At most `max_away` handlers are away from a
/// seat: past that, a region is refused, and the watchdog leaves seats alone. Thread-safe.
class Crew {
  public:
    using MakeWorker = std::function<std::unique_ptr<Worker>()>;

    /// `make_worker` is called on each thread, for itself. All must outlive the crew.
    Crew(std::span<const std::unique_ptr<Reactor>> reactors, MakeWorker make_worker, std::size_t max_away, Load& load,
         Pulse& pulse, Log& log);
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;
    /// Every reactor must have been told to drain: waits until all have, then ends the threads.
    ~Crew();

    /// Starts a thread for each reactor and the watchdog. Errors: unavailable (no more threads).
    Result<void> start();

  private:
    class SeatBlocker;
    using Threads = std::list<std::jthread>;

    void work(Threads::iterator self);
    Reactor* next_reactor(bool fresh);
    bool spawn();
    bool reserve_spare();
    void free_spare();
    void offer(Reactor& reactor);
    Result<void> leave_seat(Reactor& reactor, Seat::Tenure tenure);
    void watch(const std::stop_token& stop);
    bool look_after(Reactor& reactor);

    std::span<const std::unique_ptr<Reactor>> m_reactors;
    MakeWorker m_make_worker;
    std::size_t m_max_away;
    Load& m_load;
    Pulse& m_pulse;
    Log& m_log;
    SystemClock m_clock{};

    std::mutex m_mutex{};                     ///< guards what follows
    std::condition_variable m_changed{};      ///< for idle threads
    std::condition_variable m_all_drained{};  ///< for the destructor
    std::deque<Reactor*> m_vacant{};          ///< reactors that wait for a runner
    std::size_t m_spare = 0;                  ///< threads that wait for a reactor, or are about to
    std::size_t m_reserved = 0;               ///< of these, those whose reactor is not vacant yet
    std::size_t m_drained = 0;                ///< reactors that need no runner any more
    Threads m_threads{};
    Threads m_retired{};  ///< ended or about to, joined at the next occasion
    std::jthread m_watchdog{};
};

}  // namespace mt::http
