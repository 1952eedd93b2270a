#include "http/crew.h"

#include <chrono>
#include <system_error>
#include <utility>

#include "base/blocking.h"

namespace mt::http {
namespace {

constexpr std::chrono::milliseconds k_look{5};  // how often the watchdog looks, and what is too long
constexpr int k_quiet_looks = 20;               // then it sleeps
constexpr std::size_t k_most_idle = 64;         // threads that are kept for the next wave
constexpr std::chrono::seconds k_retry_after_full{1};

}  // namespace

/// What a handler enters before it waits: gives its runner's seat to another thread.
class Crew::SeatBlocker final : public Blocker {
  public:
    SeatBlocker(Crew& crew, Reactor& reactor, Seat::Tenure tenure)
        : m_crew(crew), m_reactor(reactor), m_tenure(tenure) {}

    Result<void> enter() override { return m_crew.leave_seat(m_reactor, m_tenure); }
    void leave() override {}  // the seat is gone until the handler ends

  private:
    Crew& m_crew;
    Reactor& m_reactor;
    Seat::Tenure m_tenure;
};

Crew::Crew(std::span<const std::unique_ptr<Reactor>> reactors, MakeWorker make_worker, std::size_t max_away, Load& load,
           Pulse& pulse, Log& log)
    : m_reactors(reactors),
      m_make_worker(std::move(make_worker)),
      m_max_away(max_away),
      m_load(load),
      m_pulse(pulse),
      m_log(log) {}

Result<void> Crew::start() {
    const std::lock_guard lock(m_mutex);
    for (const auto& reactor : m_reactors) {
        m_vacant.push_back(reactor.get());
    }
    for (std::size_t i = 0; i < m_reactors.size(); ++i) {
        if (!spawn()) {
            return Error{Code::unavailable, "the system gives no more threads"};
        }
    }
    m_watchdog = std::jthread([this](const std::stop_token& stop) { watch(stop); });
    return {};
}

Crew::~Crew() {
    Threads ending;
    {
        std::unique_lock lock(m_mutex);
        m_all_drained.wait(lock, [this] { return m_threads.empty() || m_drained == m_reactors.size(); });
        ending.splice(ending.end(), m_threads);
        ending.splice(ending.end(), m_retired);
    }
    m_changed.notify_all();
    ending.clear();
}

void Crew::work(Threads::iterator self) {
    const std::unique_ptr<Worker> worker = m_make_worker();
    bool fresh = true;
    while (Reactor* reactor = next_reactor(std::exchange(fresh, false))) {
        const Seat::Tenure tenure = reactor->seat().sit();
        SeatBlocker blocker(*this, *reactor, tenure);
        const BlockerScope scope(blocker);
        if (reactor->run(*worker, tenure) == Reactor::Outcome::drained) {
            const std::lock_guard lock(m_mutex);
            ++m_drained;
            m_all_drained.notify_all();
        } else {
            m_load.away.fetch_sub(1, std::memory_order_relaxed);
        }
    }
    const std::lock_guard lock(m_mutex);
    if (m_drained < m_reactors.size()) {
        m_retired.splice(m_retired.end(), m_threads, self);
    }
}

// Null: this thread is not needed any more. `fresh`: it has just started, and was counted when it was.
Reactor* Crew::next_reactor(bool fresh) {
    std::unique_lock lock(m_mutex);
    if (!fresh && m_vacant.empty() && m_spare >= k_most_idle) {
        return nullptr;
    }
    m_spare += fresh ? 0 : 1;
    m_changed.wait(lock, [this] { return !m_vacant.empty() || m_drained == m_reactors.size(); });
    --m_spare;
    if (m_vacant.empty()) {
        return nullptr;
    }
    Reactor* reactor = m_vacant.front();
    m_vacant.pop_front();
    return reactor;
}

// The caller holds the lock.
bool Crew::spawn() {
    m_retired.clear();  // joins threads that have left work(), or are about to without needing the lock
    try {
        const auto self = m_threads.emplace(m_threads.end());
        *self = std::jthread([this, self] { work(self); });
        ++m_spare;
    } catch (const std::system_error&) {
        m_threads.pop_back();
        return false;
    }
    return true;
}

// Before a seat is left: somebody must be there to take it. False: the system gives no more threads.
bool Crew::reserve_spare() {
    const std::lock_guard lock(m_mutex);
    const bool there = m_spare > m_vacant.size() + m_reserved || spawn();
    m_reserved += there ? 1 : 0;
    return there;
}

void Crew::free_spare() {
    const std::lock_guard lock(m_mutex);
    --m_reserved;
}

// A seat without a runner, for which a thread is reserved.
void Crew::offer(Reactor& reactor) {
    {
        const std::lock_guard lock(m_mutex);
        --m_reserved;
        m_vacant.push_back(&reactor);
    }
    m_changed.notify_one();
}

Result<void> Crew::leave_seat(Reactor& reactor, Seat::Tenure tenure) {
    if (!reactor.seat().handling(tenure)) {
        return {};  // the watchdog was here already
    }
    if (m_load.away.fetch_add(1, std::memory_order_relaxed) >= m_max_away || !reserve_spare()) {
        m_load.away.fetch_sub(1, std::memory_order_relaxed);
        return Error{Code::busy, "too many requests wait for something slow", "blocking", k_retry_after_full};
    }
    if (reactor.seat().leave(tenure)) {
        offer(reactor);
    } else {
        free_spare();
        m_load.away.fetch_sub(1, std::memory_order_relaxed);
    }
    return {};
}

void Crew::watch(const std::stop_token& stop) {
    std::uint64_t seen = m_pulse.beats();
    int quiet = 0;
    while (m_pulse.rest(stop, k_look)) {
        bool busy = m_pulse.beats() != seen;
        seen = m_pulse.beats();
        for (const auto& reactor : m_reactors) {
            busy = look_after(*reactor) || busy;
        }
        quiet = busy ? 0 : quiet + 1;
        if (quiet >= k_quiet_looks && !m_pulse.sleep(stop, seen)) {
            return;
        }
    }
}

// True while its runner is inside a handler.
bool Crew::look_after(Reactor& reactor) {
    if (!reactor.seat().handling()) {
        return false;
    }
    // Counted first: the handler may end at any moment, and is then taken off.
    const bool room = m_load.away.fetch_add(1, std::memory_order_relaxed) < m_max_away;
    const std::int64_t limit_ns = m_clock.boot_ns() - std::chrono::nanoseconds{k_look}.count();
    const bool stuck = room && reactor.seat().handling_since_before(limit_ns) && reserve_spare();
    if (stuck && reactor.seat().take_if_since_before(limit_ns)) {
        offer(reactor);
        return true;
    }
    m_load.away.fetch_sub(1, std::memory_order_relaxed);
    if (stuck) {
        free_spare();
    }
    return true;
}

}  // namespace mt::http
