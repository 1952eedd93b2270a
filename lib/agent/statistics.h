#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace mt {

/// Describes a series of numbers, in the order they came.
struct Statistics {
    std::size_t count = 0;
    double sum = 0;
    double mean = 0;
    double median = 0;
    std::optional<double> deviation{};  ///< of the sample (divided by n - 1); absent for a single number
    double min = 0;
    double max = 0;
    double p25 = 0;  ///< percentiles: linear interpolation between the closest ranks, at rank (n - 1) p from 0
    double p75 = 0;  ///< (Hyndman and Fan 1996, definition 7)
    double p90 = 0;
    double p99 = 0;
    std::optional<double> trend{};  ///< slope of the least-squares line, per step; absent for a single number
};

/// Errors: invalid (no numbers, or so large that their sum or squares overflow).
Result<Statistics> describe_numbers(const std::vector<double>& numbers);

/// One line in full precision: "count 3, sum 16, mean 5.333333333333333, ...". Each piece is a name, a blank and a
/// number, perhaps with words after it; pieces are separated by ", ".
std::string format_statistics(const Statistics& statistics);

}  // namespace mt
