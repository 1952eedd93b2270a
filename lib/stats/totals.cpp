#include "stats/totals.h"

#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace mt {
namespace {

std::string name_of(std::size_t value) {
    if (value < k_counters) {
        return std::string(k_counter_names[value]);
    }
    const std::size_t bucket = value - k_counters;
    return bucket < k_bucket_bounds_us.size() ? fmt::format("latency_le_{}", k_bucket_bounds_us[bucket])
                                              : "latency_le_inf";
}

}  // namespace

std::size_t bucket_of(std::chrono::nanoseconds latency) {
    const auto found = std::find_if(k_bucket_bounds_us.begin(), k_bucket_bounds_us.end(),
                                    [&](std::int64_t bound) { return latency.count() <= bound * 1000; });
    return static_cast<std::size_t>(found - k_bucket_bounds_us.begin());
}

std::int64_t Totals::denied() const {
    const auto first = static_cast<std::ptrdiff_t>(Counter::denied_requests);
    const auto last = static_cast<std::ptrdiff_t>(Counter::denied_overload);
    return std::accumulate(counters.begin() + first, counters.begin() + last + 1, std::int64_t{0});
}

double Totals::average_latency_ms() const {
    const std::int64_t served = of(Counter::served);
    return served == 0 ? 0 : static_cast<double>(of(Counter::latency_ns)) / static_cast<double>(served) / 1e6;
}

double Totals::latency_percentile_ms(double ratio) const {
    const auto count = static_cast<double>(std::accumulate(buckets.begin(), buckets.end(), std::int64_t{0}));
    const double rank = ratio * count;
    double below = 0;
    for (std::size_t i = 0; i < k_bucket_bounds_us.size(); ++i) {
        const auto here = static_cast<double>(buckets[i]);
        if (here > 0 && below + here >= rank) {
            const double lower = i == 0 ? 0 : static_cast<double>(k_bucket_bounds_us[i - 1]);
            const double upper = static_cast<double>(k_bucket_bounds_us[i]);
            return (lower + (upper - lower) * (rank - below) / here) / 1000;
        }
        below += here;
    }
    return count == 0 ? 0 : static_cast<double>(k_bucket_bounds_us.back()) / 1000;
}

Totals& Totals::operator+=(const Totals& other) {
    std::transform(counters.begin(), counters.end(), other.counters.begin(), counters.begin(), std::plus<>());
    std::transform(buckets.begin(), buckets.end(), other.buckets.begin(), buckets.begin(), std::plus<>());
    return *this;
}

Totals& Totals::operator-=(const Totals& other) {
    std::transform(counters.begin(), counters.end(), other.counters.begin(), counters.begin(), std::minus<>());
    std::transform(buckets.begin(), buckets.end(), other.buckets.begin(), buckets.begin(), std::minus<>());
    return *this;
}

const std::string& value_name(std::size_t value) {
    static const auto k_names = [] {
        std::array<std::string, k_values> made;
        for (std::size_t i = 0; i < k_values; ++i) {
            made[i] = name_of(i);
        }
        return made;
    }();
    return k_names[value];
}

std::int64_t& value_at(Totals& totals, std::size_t value) {
    return value < k_counters ? totals.counters[value] : totals.buckets[value - k_counters];
}

std::int64_t value_at(const Totals& totals, std::size_t value) {
    return value < k_counters ? totals.counters[value] : totals.buckets[value - k_counters];
}

std::string for_each_value(std::string_view format, std::string_view separator) {
    std::string all;
    for (std::size_t i = 0; i < k_values; ++i) {
        all += i == 0 ? "" : separator;
        for (const char c : format) {
            c == '@' ? all.append(value_name(i)) : all.append(1, c);
        }
    }
    return all;
}

Totals at_least(const Totals& now, const Totals& stored) {
    Totals raised = now;
    for (std::size_t i = 0; i < k_values; ++i) {
        value_at(raised, i) = std::max(value_at(now, i), value_at(stored, i));
    }
    return raised;
}

}  // namespace mt
