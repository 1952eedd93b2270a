#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "http/upstream_connection.h"

namespace mt::http {

/// Connections that nobody uses right now; the latest comes back first, so that the others grow old and go. One that is
/// older than `idle_time` is never given out; it is closed when the pool is used next. Thread-safe.
class UpstreamPool {
  public:
    UpstreamPool(std::size_t max_idle, std::chrono::nanoseconds idle_time)
        : m_max_idle(max_idle), m_idle_ns(idle_time.count()) {}

    /// One over which nothing has come meanwhile, or null.
    std::unique_ptr<UpstreamConnection> take();
    /// Keeps it, or closes it when there are enough.
    void put(std::unique_ptr<UpstreamConnection> connection);

    [[nodiscard]] std::size_t size() const;

  private:
    struct Idle {
        std::unique_ptr<UpstreamConnection> connection;
        std::int64_t since_ns;
    };

    std::size_t m_max_idle;
    std::int64_t m_idle_ns;
    SystemClock m_clock{};
    mutable std::mutex m_mutex{};
    std::deque<Idle> m_idle{};  ///< oldest first
};

}  // namespace mt::http
