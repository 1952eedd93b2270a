#include "base/backend.h"

#include <fmt/core.h>

#include <utility>

namespace mt {
namespace {

constexpr BreakerSettings k_settings{
    .failures = 1, .pause = std::chrono::milliseconds{500}, .longest = std::chrono::milliseconds{500}};
constexpr std::chrono::seconds k_retry_after{1};

BreakerSettings settings_of(int failures) {
    BreakerSettings settings = k_settings;
    settings.failures = failures;
    return settings;
}

}  // namespace

Backend::Backend(std::string name, std::string kind, const Clock& clock, Log& log, int failures)
    : m_name(std::move(name)),
      m_kind(std::move(kind)),
      m_clock(clock),
      m_log(log),
      m_breaker(settings_of(failures)),
      m_since_ns(clock.boot_ns()) {}

Result<CircuitBreaker::Pass> Backend::try_use() {
    const CircuitBreaker::Pass pass = m_breaker.admit(m_clock.boot_ns());
    if (pass.wait_ns == 0) {
        return pass;
    }
    m_refused.fetch_add(1, std::memory_order_relaxed);
    const std::lock_guard lock(m_mutex);
    return refusal(m_fault);
}

void Backend::succeeded(const CircuitBreaker::Pass& pass) {
    m_calls.fetch_add(1, std::memory_order_relaxed);
    m_breaker.record(pass, CircuitBreaker::Outcome::success, m_clock.boot_ns());
    if (pass.probe) {
        note(true, {});
    }
}

Error Backend::failed(const CircuitBreaker::Pass& pass, const std::string& fault) {
    m_calls.fetch_add(1, std::memory_order_relaxed);
    m_failures.fetch_add(1, std::memory_order_relaxed);
    m_breaker.record(pass, CircuitBreaker::Outcome::failure, m_clock.boot_ns());
    if (m_breaker.state() != CircuitBreaker::State::closed) {
        note(false, fault);
    }
    return refusal(fault);
}

void Backend::unknown(const CircuitBreaker::Pass& pass) {
    m_breaker.record(pass, CircuitBreaker::Outcome::unknown, m_clock.boot_ns());
}

bool Backend::is_up() const {
    return m_breaker.state() == CircuitBreaker::State::closed;
}

BackendStatus Backend::status() const {
    BackendStatus status{.name = m_name, .kind = m_kind};
    status.calls = m_calls.load(std::memory_order_relaxed);
    status.failures = m_failures.load(std::memory_order_relaxed);
    status.refused = m_refused.load(std::memory_order_relaxed);
    const std::lock_guard lock(m_mutex);
    status.up = m_up;
    status.fault = m_fault;
    status.since_ns = m_since_ns;
    status.outages = m_outages;
    return status;
}

Error Backend::refusal(const std::string& fault) const {
    return Error{.code = Code::unavailable,
                 .message = "a server that this needs is away for now: try again",
                 .retry_after = k_retry_after,
                 .detail = fmt::format("{}: {}", m_name, fault)};
}

void Backend::note(bool up, const std::string& fault) {
    const std::lock_guard lock(m_mutex);
    if (up != m_up) {
        const std::int64_t now = m_clock.boot_ns();
        if (up) {
            m_log.info(fmt::format("{} '{}' is back after {} s", m_kind, m_name, (now - m_since_ns) / 1'000'000'000));
        } else {
            m_log.error(fmt::format("{} '{}' is away: {}", m_kind, m_name, fault));
            ++m_outages;
        }
        m_up = up;
        m_since_ns = now;
    }
    m_fault = fault;
}

}  // namespace mt
