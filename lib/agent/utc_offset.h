#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace mt {

/// Reads a distance from UTC: "+02:00", "-0330", "+2", "UTC+2", "GMT-3", "UTC", "Z", any case; at most 14 hours.
std::optional<std::chrono::minutes> parse_utc_offset(std::string_view text);

/// As RFC 3339 writes it: "+02:00", "Z" for none.
std::string format_utc_offset(std::chrono::minutes offset);

}  // namespace mt
