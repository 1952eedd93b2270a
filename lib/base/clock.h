#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mt {

/// Time on the wall (UTC), in milliseconds: for people, files and expiry dates.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

/// The one source of time. Tests pass a fake; nothing else reads a clock. Thread-safe.
class Clock {
  public:
    Clock() = default;
    Clock(const Clock&) = delete;
    Clock& operator=(const Clock&) = delete;
    virtual ~Clock() = default;

    /// Nanoseconds since boot, suspend included (CLOCK_BOOTTIME): for limits, timeouts and latency. Never goes back.
    [[nodiscard]] virtual std::int64_t boot_ns() const = 0;
    /// Wall clock; may be stepped by the operator.
    [[nodiscard]] virtual WallTime wall() const = 0;
};

/// The machine's clocks.
class SystemClock final : public Clock {
  public:
    [[nodiscard]] std::int64_t boot_ns() const override;
    [[nodiscard]] WallTime wall() const override;
};

/// RFC 3339 in UTC with milliseconds: "2026-11-23T05:15:31.120Z".
std::string format_rfc3339(WallTime time);

/// Reads what format_rfc3339 writes. Errors: invalid.
Result<WallTime> parse_rfc3339(std::string_view text);

}  // namespace mt
