#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

namespace mt {

struct BreakerSettings {
    int failures = 5;                           ///< in a row that open it
    std::chrono::milliseconds pause{10'000};    ///< from opening to the first probe; doubled by each failed probe
    std::chrono::milliseconds longest{60'000};  ///< bound of the doubling
};

/// Keeps calls away from a server that fails: closed (calls pass), open (none does), half-open (one call tries, and its
/// outcome decides). Times are Clock::boot_ns. Thread-safe.
class CircuitBreaker {
  public:
    enum class State { closed, half_open, open };
    enum class Outcome { success, failure, unknown };

    explicit CircuitBreaker(const BreakerSettings& settings = {}) : m_settings(settings) {}

    /// May a call go on? Whoever may tells the outcome with record().
    struct Pass {
        std::int64_t wait_ns = 0;  ///< 0: yes; otherwise until another call may try
        bool probe = false;        ///< it is the one that tries
    };
    Pass admit(std::int64_t now_ns);

    /// unknown: the call was stopped before anybody could tell; the next one may try.
    void record(const Pass& pass, Outcome outcome, std::int64_t now_ns);

    [[nodiscard]] State state() const;

  private:
    void open(std::int64_t pause_ns, std::int64_t now_ns);

    BreakerSettings m_settings;
    mutable std::mutex m_mutex;
    State m_state = State::closed;
    int m_failures = 0;
    bool m_probing = false;
    std::int64_t m_pause_ns = 0;
    std::int64_t m_opened_ns = 0;
};

}  // namespace mt
