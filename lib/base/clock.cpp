#include "base/clock.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <cstdio>
#include <ctime>

namespace mt {

std::int64_t SystemClock::boot_ns() const {
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

WallTime SystemClock::wall() const {
    return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

std::string format_rfc3339(WallTime time) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                       (time - seconds).count());
}

Result<WallTime> parse_rfc3339(std::string_view text) {
    std::tm parts{};
    int milliseconds = 0;
    const std::string copy(text);
    // NOLINTNEXTLINE(cert-err34-c): the count and the round trip below tell wrong input
    if (std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
                    &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &milliseconds) == 7) {
        parts.tm_year -= 1900;
        parts.tm_mon -= 1;
        const WallTime time = WallTime{std::chrono::seconds{timegm(&parts)}} + std::chrono::milliseconds{milliseconds};
        if (format_rfc3339(time) == text) {
            return time;
        }
    }
    return Error{Code::invalid, fmt::format("'{}' is not a time like 2026-11-23T05:15:31.120Z", text)};
}

}  // namespace mt
