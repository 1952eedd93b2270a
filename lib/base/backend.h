#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "base/circuit_breaker.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"

namespace mt {

/// How a server behind us is, for /readyz, metrics and `check`.
struct BackendStatus {
    std::string name;  ///< "redis", "postgres" or a shard's name
    std::string kind;  ///< "redis" or "postgres"
    bool up = true;
    std::string fault{};        ///< why it is down, for the operator; empty when it is up
    std::int64_t since_ns = 0;  ///< Clock::boot_ns of the last change
    std::int64_t failures = 0;  ///< calls that failed since the start
    std::int64_t refused = 0;   ///< calls that were not tried because it was down
    std::int64_t calls = 0;     ///< round trips since the start
    std::int64_t outages = 0;   ///< changes from up to down
};

/// Whether ONE server behind us can be used: a breaker that says no at once while the server is away, the status that
/// operators see, and a log line at each change. Whoever talks to the server asks try_use() before and tells the
/// outcome after. Thread-safe. References must outlive it.
class Backend {
  public:
    /// `failures`: in a row, after which it counts as down. While down one caller in half a second may try.
    Backend(std::string name, std::string kind, const Clock& clock, Log& log, int failures = 1);

    /// Errors: unavailable with retry_after (it is down, and it is not this caller's turn to try).
    Result<CircuitBreaker::Pass> try_use();
    /// It answered, were it with a refusal of the request itself.
    void succeeded(const CircuitBreaker::Pass& pass);
    /// It did not answer, or said that it cannot serve now. Fills code, retry_after and detail in for clients: what the
    /// caller returns. `fault` is for the operator's log; it holds no secret and no words of a tenant.
    Error failed(const CircuitBreaker::Pass& pass, const std::string& fault);
    /// The caller gave up before anybody could tell.
    void unknown(const CircuitBreaker::Pass& pass);

    [[nodiscard]] bool is_up() const;
    [[nodiscard]] BackendStatus status() const;
    [[nodiscard]] const std::string& name() const { return m_name; }

  private:
    [[nodiscard]] Error refusal(const std::string& fault) const;
    void note(bool up, const std::string& fault);

    const std::string m_name;
    const std::string m_kind;
    const Clock& m_clock;
    Log& m_log;
    CircuitBreaker m_breaker;
    std::atomic<std::int64_t> m_calls{0};
    std::atomic<std::int64_t> m_failures{0};
    std::atomic<std::int64_t> m_refused{0};
    mutable std::mutex m_mutex;  // guards the rest
    bool m_up = true;
    std::string m_fault;
    std::int64_t m_since_ns = 0;
    std::int64_t m_outages = 0;
};

}  // namespace mt
