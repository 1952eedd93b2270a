#pragma once

#include <atomic>
#include <cstdint>

namespace mt::http {

/// Who runs a reactor: one thread at a time, its runner. While the runner is inside a handler the seat can be taken
/// from it, by itself before it waits or by the watchdog because it has been too long; another thread then sits down.
/// Lock-free, because it is passed twice for each request.
class Seat {
  public:
    /// A runner's stay on the seat. Never used twice.
    using Tenure = std::uint64_t;

    /// The calling thread becomes the runner of a seat that is free.
    Tenure sit() {
        const Tenure tenure = (m_word.load(std::memory_order_acquire) >> 1U) + 1;
        m_word.store(tenure << 1U, std::memory_order_release);
        return tenure;
    }

    /// The runner goes into a handler; `now_ns` is Clock::boot_ns.
    void begin(Tenure tenure, std::int64_t now_ns) {
        m_since_ns.store(now_ns, std::memory_order_relaxed);
        m_word.store((tenure << 1U) | k_handling, std::memory_order_release);
    }

    /// The runner comes back. False: the seat was taken meanwhile, and it must not touch the reactor's state again.
    bool end(Tenure tenure) { return change((tenure << 1U) | k_handling, tenure << 1U); }

    /// Takes the seat from its runner, who must be the caller inside a handler. False: somebody else did already.
    bool leave(Tenure tenure) { return change((tenure << 1U) | k_handling, (tenure + 1) << 1U); }

    /// The runner is inside a handler; the second form: and it is the one of that tenure.
    [[nodiscard]] bool handling() const { return (m_word.load() & k_handling) != 0; }
    [[nodiscard]] bool handling(Tenure tenure) const { return m_word.load() == ((tenure << 1U) | k_handling); }

    [[nodiscard]] bool handling_since_before(std::int64_t limit_ns) const {
        return handling() && m_since_ns.load(std::memory_order_relaxed) < limit_ns;
    }

    /// Takes the seat if its runner has been inside one handler since before `limit_ns`. A handler that begins in this
    /// very moment may lose it too, which costs a thread's change and nothing else.
    bool take_if_since_before(std::int64_t limit_ns) {
        const std::uint64_t word = m_word.load(std::memory_order_acquire);
        return (word & k_handling) != 0 && m_since_ns.load(std::memory_order_relaxed) < limit_ns &&
               change(word, ((word >> 1U) + 1) << 1U);
    }

  private:
    static constexpr std::uint64_t k_handling = 1;

    bool change(std::uint64_t from, std::uint64_t to) {
        return m_word.compare_exchange_strong(from, to, std::memory_order_acq_rel, std::memory_order_relaxed);
    }

    std::atomic<std::uint64_t> m_word{0};  ///< tenure, and whether its runner is inside a handler
    std::atomic<std::int64_t> m_since_ns{0};
};

}  // namespace mt::http
