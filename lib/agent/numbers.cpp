#include "agent/numbers.h"

#include <fmt/core.h>

#include <charconv>
#include <cmath>
#include <system_error>

namespace mt {

std::string format_exact(double value) {
    return fmt::format("{}", value == 0 ? 0.0 : value);
}

std::string format_number(double value) {
    constexpr double k_exact_integers = 9007199254740992.0;  // 2^53
    if (std::fabs(value) <= k_exact_integers && std::trunc(value) == value) {
        return fmt::format("{:.0f}", value == 0 ? 0.0 : value);
    }
    return fmt::format("{:.15g}", value);
}

std::optional<double> parse_number(std::string_view text) {
    std::string_view digits = text;
    if (!digits.empty() && (digits.front() == '+' || digits.front() == '-')) {
        digits.remove_prefix(1);
    }
    // from_chars would read "inf" and "nan" as well.
    if (digits.empty() || digits.find_first_of("0123456789.") != 0) {
        return std::nullopt;
    }
    double value = 0;
    const auto [stop, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (fault != std::errc{} || stop != digits.data() + digits.size()) {
        return std::nullopt;
    }
    return text.front() == '-' ? -value : value;
}

}  // namespace mt
