#include "agent/utc_offset.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.h"
#include "base/units.h"

namespace mt {
namespace {

// Reads "2", "02", "0230", "2:30" or "02:30".
std::optional<std::chrono::minutes> parse_distance(std::string_view text) {
    constexpr std::size_t k_nowhere = std::string_view::npos;
    const std::size_t colon = text.find(':');
    const std::string_view hours = text.substr(0, colon == k_nowhere && text.size() == 4 ? 2 : colon);
    std::string_view minutes = text.substr(hours.size());
    minutes.remove_prefix(colon == k_nowhere ? 0 : 1);
    const bool two_digits = colon != k_nowhere || text.size() == 4;
    if (text.find_first_not_of("0123456789:") != k_nowhere || hours.empty() || hours.size() > 2 ||
        minutes.size() != (two_digits ? 2U : 0U)) {
        return std::nullopt;
    }
    const auto hour = parse_integer(hours);
    const auto minute = parse_integer(two_digits ? minutes : "0");
    if (!hour || !minute || *minute > 59) {
        return std::nullopt;
    }
    const std::chrono::minutes distance = std::chrono::hours{*hour} + std::chrono::minutes{*minute};
    return distance <= std::chrono::hours{14} ? std::optional(distance) : std::nullopt;
}

}  // namespace

std::optional<std::chrono::minutes> parse_utc_offset(std::string_view text) {
    const std::string lower = to_lower(trim(text));
    std::string_view rest = lower;
    if (rest.starts_with("utc") || rest.starts_with("gmt")) {
        rest = trim(rest.substr(3));
        if (rest.empty()) {
            return std::chrono::minutes{0};
        }
    }
    if (lower == "z") {
        return std::chrono::minutes{0};
    }
    if (!rest.starts_with('+') && !rest.starts_with('-')) {
        return std::nullopt;
    }
    const std::optional<std::chrono::minutes> distance = parse_distance(rest.substr(1));
    if (!distance) {
        return std::nullopt;
    }
    return rest.front() == '-' ? -*distance : *distance;
}

std::string format_utc_offset(std::chrono::minutes offset) {
    if (offset.count() == 0) {
        return "Z";
    }
    const auto minutes = std::abs(offset.count());
    return fmt::format("{}{:02}:{:02}", offset.count() < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

}  // namespace mt
