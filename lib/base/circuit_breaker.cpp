#include "base/circuit_breaker.h"

#include <algorithm>
#include <utility>

namespace mt {

CircuitBreaker::Pass CircuitBreaker::admit(std::int64_t now_ns) {
    constexpr std::int64_t k_while_probing_ns = 1'000'000'000;
    const std::lock_guard lock(m_mutex);
    if (m_state == State::closed) {
        return {};
    }
    const std::int64_t left_ns = m_opened_ns + m_pause_ns - now_ns;
    if (m_state == State::open && left_ns > 0) {
        return {left_ns, false};
    }
    if (m_probing) {
        return {k_while_probing_ns, false};
    }
    m_state = State::half_open;
    m_probing = true;
    return {0, true};
}

void CircuitBreaker::record(const Pass& pass, Outcome outcome, std::int64_t now_ns) {
    const std::lock_guard lock(m_mutex);
    const std::int64_t first = std::chrono::nanoseconds{m_settings.pause}.count();
    const std::int64_t longest = std::chrono::nanoseconds{m_settings.longest}.count();
    if (pass.probe) {
        m_probing = false;
        if (outcome == Outcome::success) {
            m_state = State::closed;
            m_failures = 0;
        } else if (outcome == Outcome::failure) {
            open(std::min(longest, std::max(first, m_pause_ns * 2)), now_ns);
        }
        return;
    }
    if (m_state != State::closed || outcome == Outcome::unknown) {
        return;  // a call from before it opened decides nothing
    }
    m_failures = outcome == Outcome::success ? 0 : m_failures + 1;
    if (m_failures >= m_settings.failures) {
        open(first, now_ns);
    }
}

CircuitBreaker::State CircuitBreaker::state() const {
    const std::lock_guard lock(m_mutex);
    return m_state;
}

void CircuitBreaker::open(std::int64_t pause_ns, std::int64_t now_ns) {
    m_pause_ns = pause_ns;
    m_state = State::open;
    m_opened_ns = now_ns;
}

}  // namespace mt
