#include "agent/calculator_functions.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <vector>

#include "base/text.h"

namespace mt {
namespace {

using Numbers = std::span<const double>;

constexpr double k_undefined = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t k_many = 10'000;

double total(Numbers x) {
    return std::accumulate(x.begin(), x.end(), 0.0);
}

double median(Numbers x) {
    std::vector<double> sorted(x.begin(), x.end());
    std::sort(sorted.begin(), sorted.end());
    const std::size_t half = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[half] : sorted[half - 1] / 2 + sorted[half] / 2;
}

double round_to(Numbers x) {
    if (x.size() == 1) {
        return std::round(x[0]);
    }
    if (std::trunc(x[1]) != x[1] || std::fabs(x[1]) > 15) {
        return k_undefined;
    }
    const double scale = std::pow(10.0, std::fabs(x[1]));
    const double scaled = x[1] < 0 ? x[0] / scale : x[0] * scale;
    // Past the largest double there are no decimal places left to round.
    if (!std::isfinite(scaled)) {
        return x[0];
    }
    return x[1] < 0 ? std::round(scaled) * scale : std::round(scaled) / scale;
}

constexpr std::array k_functions{
    CalculatorFunction{"sqrt", 1, 1, [](Numbers x) { return x[0] < 0 ? k_undefined : std::sqrt(x[0]); }},
    CalculatorFunction{"cbrt", 1, 1, [](Numbers x) { return std::cbrt(x[0]); }},
    CalculatorFunction{"abs", 1, 1, [](Numbers x) { return std::fabs(x[0]); }},
    CalculatorFunction{"ln", 1, 1, [](Numbers x) { return x[0] > 0 ? std::log(x[0]) : k_undefined; }},
    CalculatorFunction{"log", 1, 1, [](Numbers x) { return x[0] > 0 ? std::log10(x[0]) : k_undefined; }},
    CalculatorFunction{"log10", 1, 1, [](Numbers x) { return x[0] > 0 ? std::log10(x[0]) : k_undefined; }},
    CalculatorFunction{"log2", 1, 1, [](Numbers x) { return x[0] > 0 ? std::log2(x[0]) : k_undefined; }},
    CalculatorFunction{"exp", 1, 1, [](Numbers x) { return std::exp(x[0]); }},
    CalculatorFunction{"sin", 1, 1, [](Numbers x) { return std::sin(x[0]); }},
    CalculatorFunction{"cos", 1, 1, [](Numbers x) { return std::cos(x[0]); }},
    CalculatorFunction{"tan", 1, 1, [](Numbers x) { return std::tan(x[0]); }},
    CalculatorFunction{"asin", 1, 1, [](Numbers x) { return std::asin(x[0]); }},
    CalculatorFunction{"acos", 1, 1, [](Numbers x) { return std::acos(x[0]); }},
    CalculatorFunction{"atan", 1, 1, [](Numbers x) { return std::atan(x[0]); }},
    CalculatorFunction{"floor", 1, 1, [](Numbers x) { return std::floor(x[0]); }},
    CalculatorFunction{"ceil", 1, 1, [](Numbers x) { return std::ceil(x[0]); }},
    CalculatorFunction{"trunc", 1, 1, [](Numbers x) { return std::trunc(x[0]); }},
    CalculatorFunction{"round", 1, 2, round_to},
    CalculatorFunction{"pow", 2, 2, [](Numbers x) { return std::pow(x[0], x[1]); }},
    CalculatorFunction{"min", 1, k_many, [](Numbers x) { return *std::min_element(x.begin(), x.end()); }},
    CalculatorFunction{"max", 1, k_many, [](Numbers x) { return *std::max_element(x.begin(), x.end()); }},
    CalculatorFunction{"sum", 1, k_many, total},
    CalculatorFunction{"mean", 1, k_many, [](Numbers x) { return total(x) / static_cast<double>(x.size()); }},
    CalculatorFunction{"median", 1, k_many, median},
};

}  // namespace

const CalculatorFunction* find_calculator_function(std::string_view name) {
    const auto* found =
        std::find_if(k_functions.begin(), k_functions.end(), [name](const auto& row) { return row.name == name; });
    return found == k_functions.end() ? nullptr : found;
}

std::optional<double> find_calculator_constant(std::string_view name) {
    if (name == "pi") {
        return std::numbers::pi;
    }
    if (name == "e") {
        return std::numbers::e;
    }
    return std::nullopt;
}

std::string suggest_calculator_name(std::string_view name) {
    std::vector<std::string_view> names{"pi"};
    for (const CalculatorFunction& function : k_functions) {
        names.push_back(function.name);
    }
    return suggestion(name, names);
}

double factorial(double number) {
    if (number < 0 || std::trunc(number) != number) {
        return k_undefined;
    }
    if (number > 170) {
        return std::numeric_limits<double>::infinity();
    }
    double product = 1;
    for (int factor = 2; factor <= static_cast<int>(number); ++factor) {
        product *= factor;
    }
    return product;
}

}  // namespace mt
