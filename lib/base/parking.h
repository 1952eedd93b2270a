#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace mt {

/// A way for a request to wait without a thread, for waits so short and so many that handing the thread over would cost
/// more than the wait: whoever waits leaves a memo here and returns an error, everybody on the way up lets go of what
/// he holds without a trace, and the request is run again from its beginning once resume() was called; then the memo is
/// found here. So only what has had no effect yet may park. park(), take() and began_ns() are for the thread that runs
/// the request, resume() for any.
class Parking {
  public:
    /// What is left for the next run.
    struct Memo {
        Memo() = default;
        Memo(const Memo&) = delete;
        Memo& operator=(const Memo&) = delete;
        virtual ~Memo() = default;
    };

    Parking() = default;
    Parking(const Parking&) = delete;
    Parking& operator=(const Parking&) = delete;
    ~Parking() = default;

    /// Once in a run: nobody acts on what this run returns. Whoever resumes may already be under way.
    void park(std::shared_ptr<Memo> memo) {
        m_memo = std::move(memo);
        m_parked = true;
        State running = State::running;
        m_state.compare_exchange_strong(running, State::parked, std::memory_order_acq_rel);
    }
    /// Once for each park(). What the caller wrote before, the next run sees.
    void resume() {
        if (m_state.exchange(State::resumed, std::memory_order_acq_rel) == State::waiting) {
            m_run_again();
        }
    }
    /// What the run before left; null in the first one, and when it was taken.
    std::shared_ptr<Memo> take() { return std::exchange(m_memo, nullptr); }
    /// When the request was first run: `now_ns` in its first run.
    std::int64_t began_ns(std::int64_t now_ns) { return m_began_ns = m_began_ns == 0 ? now_ns : m_began_ns; }
    /// In this run park() was called.
    [[nodiscard]] bool parked() const { return m_parked; }

    // For whoever runs requests.

    /// `run_again` is called by resume() where await() was true before; it must not wait.
    void set_run_again(std::function<void()> run_again) { m_run_again = std::move(run_again); }
    /// Before the first run of a request.
    void reset() {
        m_memo.reset();
        m_began_ns = 0;
        begin_run();
    }
    /// Before each further run.
    void begin_run() {
        m_parked = false;
        m_state.store(State::running, std::memory_order_release);
    }
    /// After a run that parked. True: `run_again` will be called, and nothing of the request may be touched before.
    /// False: it was resumed already.
    bool await() {
        State parked = State::parked;
        return m_state.compare_exchange_strong(parked, State::waiting, std::memory_order_acq_rel);
    }

  private:
    enum class State : std::uint8_t { running, parked, waiting, resumed };

    std::function<void()> m_run_again{};
    std::shared_ptr<Memo> m_memo{};
    std::int64_t m_began_ns = 0;
    bool m_parked = false;
    std::atomic<State> m_state{State::running};
};

}  // namespace mt
