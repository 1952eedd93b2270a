#include "agent/statistics.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "agent/numbers.h"

namespace mt {
namespace {

// Sum with the rounding errors carried along (Neumaier 1974).
double exact_sum(const std::vector<double>& numbers) {
    double sum = 0;
    double lost = 0;
    for (const double number : numbers) {
        const double next = sum + number;
        lost += std::fabs(sum) >= std::fabs(number) ? (sum - next) + number : (number - next) + sum;
        sum = next;
    }
    return sum + lost;
}

double percentile(const std::vector<double>& sorted, double share) {
    const double rank = share * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(rank);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return std::lerp(sorted[below], sorted[above], rank - static_cast<double>(below));
}

// The two passes of the corrected algorithm (Chan, Golub, LeVeque 1983): the second takes out what the rounded mean is
// off.
double sample_deviation(const std::vector<double>& numbers, double mean) {
    double squares = 0;
    double rest = 0;
    for (const double number : numbers) {
        squares += (number - mean) * (number - mean);
        rest += number - mean;
    }
    const auto count = static_cast<double>(numbers.size());
    return std::sqrt(std::max(0.0, squares - rest * rest / count) / (count - 1));
}

double slope(const std::vector<double>& numbers, double mean) {
    const auto count = static_cast<double>(numbers.size());
    double products = 0;
    double step = -(count - 1) / 2;
    for (const double number : numbers) {
        products += step * (number - mean);
        step += 1;
    }
    return products / (count * (count * count - 1) / 12);
}

std::string_view trend_word(const Statistics& statistics) {
    // What the whole line climbs must be more than rounding makes of equal numbers.
    const double climb = *statistics.trend * static_cast<double>(statistics.count - 1);
    const double size = std::max(std::fabs(statistics.min), std::fabs(statistics.max));
    if (std::fabs(climb) <= 1e-12 * size) {
        return "flat";
    }
    return climb > 0 ? "rising" : "falling";
}

}  // namespace

Result<Statistics> describe_numbers(const std::vector<double>& numbers) {
    if (numbers.empty()) {
        return Error{Code::invalid, "there are no numbers to analyze"};
    }
    std::vector<double> sorted = numbers;
    std::sort(sorted.begin(), sorted.end());
    Statistics statistics;
    statistics.count = numbers.size();
    statistics.sum = exact_sum(numbers);
    statistics.mean = statistics.sum / static_cast<double>(numbers.size());
    statistics.median = percentile(sorted, 0.5);
    statistics.min = sorted.front();
    statistics.max = sorted.back();
    statistics.p25 = percentile(sorted, 0.25);
    statistics.p75 = percentile(sorted, 0.75);
    statistics.p90 = percentile(sorted, 0.9);
    statistics.p99 = percentile(sorted, 0.99);
    if (numbers.size() > 1) {
        statistics.deviation = sample_deviation(numbers, statistics.mean);
        statistics.trend = slope(numbers, statistics.mean);
    }
    if (!std::isfinite(statistics.sum) || !std::isfinite(statistics.deviation.value_or(0)) ||
        !std::isfinite(statistics.trend.value_or(0))) {
        return Error{Code::invalid, "the numbers are too large to add up"};
    }
    return statistics;
}

std::string format_statistics(const Statistics& statistics) {
    std::string text =
        fmt::format("count {}, sum {}, mean {}, median {}", statistics.count, format_exact(statistics.sum),
                    format_exact(statistics.mean), format_exact(statistics.median));
    if (statistics.deviation) {
        text += fmt::format(", deviation {} (sample n-1)", format_exact(*statistics.deviation));
    }
    text += fmt::format(", min {}, max {}, p25 {}, p75 {}, p90 {}, p99 {}", format_exact(statistics.min),
                        format_exact(statistics.max), format_exact(statistics.p25), format_exact(statistics.p75),
                        format_exact(statistics.p90), format_exact(statistics.p99));
    if (statistics.trend) {
        text += fmt::format(", trend {} per step ({})", format_exact(*statistics.trend), trend_word(statistics));
    }
    return text;
}

}  // namespace mt
