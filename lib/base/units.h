#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mt {

/// Reads a duration: a whole or decimal number with ms, s, m, h or d ("250ms", "1.5s", "5m", "90d"); a number alone is
/// seconds. Errors: invalid (sign, unknown unit, more than 100 years).
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

/// Shortest exact form with one unit: 300000 ms -> "5m", 1500 ms -> "1500ms".
std::string format_duration(std::chrono::milliseconds duration);

/// Reads a size in bytes: "1000", "64KB" (1000), "64KiB" (1024), MB, GB, TB, MiB, GiB, TiB; case of the unit is free.
/// Errors: invalid.
Result<std::int64_t> parse_size(std::string_view text);

/// For people: "1.0 GB", "512 B" (powers of 1000, SI).
std::string format_size(std::int64_t bytes);

/// Reads a decimal integer that fills all of `text`. Errors: invalid (also overflow).
Result<std::int64_t> parse_integer(std::string_view text);

/// Reads a share: "0.1%" or "0.001" -> 0.001. Errors: invalid (outside 0..1).
Result<double> parse_ratio(std::string_view text);

}  // namespace mt
