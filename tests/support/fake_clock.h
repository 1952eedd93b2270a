#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace mt::test {

/// A clock that stands still until told. Starts at one hour after boot, 2026-11-23T00:00:00Z. Thread-safe.
class FakeClock final : public Clock {
  public:
    [[nodiscard]] std::int64_t boot_ns() const override { return m_boot_ns.load(); }
    [[nodiscard]] WallTime wall() const override { return WallTime{std::chrono::milliseconds{m_wall_ms.load()}}; }

    void advance(std::chrono::nanoseconds by) {
        m_boot_ns += by.count();
        m_wall_ns_rest += by.count();
        const std::int64_t whole = m_wall_ns_rest / 1'000'000;
        m_wall_ns_rest -= whole * 1'000'000;
        m_wall_ms += whole;
    }
    /// The operator sets the wall clock.
    void step_wall(std::chrono::milliseconds by) { m_wall_ms += by.count(); }

  private:
    std::atomic<std::int64_t> m_boot_ns{3'600'000'000'000};
    std::atomic<std::int64_t> m_wall_ms{1'795'392'000'000};
    std::atomic<std::int64_t> m_wall_ns_rest{0};
};

}  // namespace mt::test
