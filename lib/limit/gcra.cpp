#include "limit/gcra.h"

#include <algorithm>

namespace mt::gcra {
namespace {

// NOLINTNEXTLINE(modernize-use-using): __extension__ keeps -Wpedantic quiet in front of a typedef only
__extension__ typedef __int128 Int128;

constexpr std::int64_t k_minute_ns = 60'000'000'000;
constexpr std::int64_t k_longest_ns = std::int64_t{1} << 61;

// Rounded up and saturated; `numerator` is not negative.
std::int64_t divide_up(Int128 numerator, std::int64_t divisor) {
    return static_cast<std::int64_t>(std::min<Int128>((numerator + divisor - 1) / divisor, k_longest_ns));
}

// How far the TAT lies in the future: what is used, in nanoseconds.
std::int64_t backlog(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t capacity) {
    return tat_ns <= now_ns ? 0 : std::min(tat_ns - now_ns, 2 * capacity);
}

}  // namespace

std::int64_t cost_ns(std::int64_t amount, std::int64_t rate) {
    return amount <= 0 ? 0 : divide_up(Int128{amount} * k_minute_ns, rate);
}

Decision decide(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t amount, std::int64_t rate, std::int64_t burst) {
    const std::int64_t capacity = cost_ns(burst, rate);
    const std::int64_t used = backlog(tat_ns, now_ns, capacity);
    const std::int64_t kept_tat = std::min(tat_ns, now_ns + used);
    if (amount <= 0) {
        return {.allowed = true, .possible = true, .tat_ns = kept_tat, .retry_in_ns = 0};
    }
    // Costs alone would not tell amounts apart that round or saturate to the same nanosecond.
    if (amount > burst) {
        return {.allowed = false, .possible = false, .tat_ns = kept_tat, .retry_in_ns = 0};
    }
    const std::int64_t cost = cost_ns(amount, rate);
    const std::int64_t missing = used + cost - capacity;
    if (missing > 0) {
        return {.allowed = false, .possible = true, .tat_ns = kept_tat, .retry_in_ns = missing};
    }
    return {.allowed = true, .possible = true, .tat_ns = now_ns + used + cost, .retry_in_ns = 0};
}

std::int64_t remaining(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t rate, std::int64_t burst) {
    const std::int64_t capacity = cost_ns(burst, rate);
    const std::int64_t used = backlog(tat_ns, now_ns, capacity);
    if (used == 0) {
        return burst;
    }
    if (used >= capacity) {
        return 0;
    }
    // ceil(n * 60e9 / rate) <= free is the same as n <= free * rate / 60e9, since the free time is whole.
    const Int128 fitting = Int128{capacity - used} * rate / k_minute_ns;
    return static_cast<std::int64_t>(std::min<Int128>(fitting, burst));
}

std::int64_t refund(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t reserved, std::int64_t used,
                    std::int64_t rate) {
    const std::int64_t given = cost_ns(reserved, rate) - cost_ns(used, rate);
    if (given <= 0 || tat_ns <= now_ns) {
        return tat_ns;
    }
    return std::max(now_ns, tat_ns - given);
}

std::int64_t owe(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t amount, std::int64_t rate, std::int64_t burst) {
    const std::int64_t capacity = cost_ns(burst, rate);
    const std::int64_t used = backlog(tat_ns, now_ns, capacity);
    return amount <= 0 ? tat_ns : now_ns + std::min(used + cost_ns(amount, rate), 2 * capacity);
}

std::int64_t convert(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t old_rate, std::int64_t new_rate) {
    return tat_ns <= now_ns ? tat_ns : now_ns + divide_up(Int128{tat_ns - now_ns} * old_rate, new_rate);
}

}  // namespace mt::gcra
