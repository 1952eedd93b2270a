#include "base/units.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>

#include "base/text.h"

namespace mt {
namespace {

struct Unit {
    std::string_view name;
    double factor;
};

struct Amount {
    double number;
    std::string_view unit;
};

constexpr std::array<Unit, 5> k_durations{{{"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}}};
constexpr std::array<Unit, 9> k_sizes{{{"b", 1},
                                       {"kb", 1e3},
                                       {"mb", 1e6},
                                       {"gb", 1e9},
                                       {"tb", 1e12},
                                       {"kib", 1024.0},
                                       {"mib", 1048576.0},
                                       {"gib", 1073741824.0},
                                       {"tib", 1099511627776.0}}};

// Splits "1.5s" into 1.5 and "s"; refuses signs, exponents, infinities and text without a number.
bool split_amount(std::string_view text, Amount& amount) {
    const std::size_t end = text.find_first_not_of("0123456789.");
    const std::string_view digits = text.substr(0, end);
    const auto [stop, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), amount.number);
    amount.unit = end == std::string_view::npos ? std::string_view{} : trim(text.substr(end));
    return !digits.empty() && fault == std::errc{} && stop == digits.data() + digits.size();
}

template <std::size_t N>
const Unit* find_unit(const std::array<Unit, N>& units, std::string_view name) {
    for (const Unit& unit : units) {
        if (unit.name == name) {
            return &unit;
        }
    }
    return nullptr;
}

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
    constexpr double k_longest_ms = 100.0 * 366 * 86400e3;
    Amount amount{};
    const std::string_view trimmed = trim(text);
    const bool split = split_amount(trimmed, amount);
    const Unit* unit = find_unit(k_durations, amount.unit.empty() ? "s" : amount.unit);
    if (!split || unit == nullptr || amount.number * unit->factor > k_longest_ms) {
        return Error{Code::invalid, fmt::format("{} is no duration: write 250ms, 30s, 5m, 24h or 90d", quote(text))};
    }
    return std::chrono::milliseconds{std::llround(amount.number * unit->factor)};
}

std::string format_duration(std::chrono::milliseconds duration) {
    for (std::size_t i = k_durations.size(); i-- > 0;) {
        const auto factor = static_cast<std::int64_t>(k_durations[i].factor);
        if (duration.count() % factor == 0 && (duration.count() != 0 || k_durations[i].name == "s")) {
            return fmt::format("{}{}", duration.count() / factor, k_durations[i].name);
        }
    }
    return fmt::format("{}ms", duration.count());
}

Result<std::int64_t> parse_size(std::string_view text) {
    constexpr double k_largest = 9e18;
    const std::string lower = to_lower(trim(text));
    Amount amount{};
    const bool split = split_amount(lower, amount);
    const Unit* unit = find_unit(k_sizes, amount.unit.empty() ? "b" : amount.unit);
    if (!split || unit == nullptr || amount.number * unit->factor > k_largest) {
        return Error{Code::invalid, fmt::format("{} is no size: write bytes, or 64KB, 1MiB, 1GB", quote(text))};
    }
    return std::llround(amount.number * unit->factor);
}

std::string format_size(std::int64_t bytes) {
    constexpr std::array<std::string_view, 5> k_names{"B", "kB", "MB", "GB", "TB"};
    auto value = static_cast<double>(bytes);
    std::size_t step = 0;
    while (value >= 1000 && step + 1 < k_names.size()) {
        value /= 1000;
        ++step;
    }
    return step == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, k_names[step]);
}

Result<std::int64_t> parse_integer(std::string_view text) {
    std::int64_t value = 0;
    const auto [stop, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || fault != std::errc{} || stop != text.data() + text.size()) {
        return Error{Code::invalid, fmt::format("{} is no whole number", quote(text))};
    }
    return value;
}

Result<double> parse_ratio(std::string_view text) {
    Amount amount{};
    const bool split = split_amount(trim(text), amount);
    const double ratio = amount.unit == "%" ? amount.number / 100 : amount.number;
    if (!split || (amount.unit != "%" && !amount.unit.empty()) || ratio > 1) {
        return Error{Code::invalid, fmt::format("{} is no share: write 0.1% or 0.001", quote(text))};
    }
    return ratio;
}

}  // namespace mt
