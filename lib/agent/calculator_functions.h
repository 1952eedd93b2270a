#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mt {

/// A function of the calculator. `apply` gets `least` to `most` finite numbers; NaN: outside the domain.
struct CalculatorFunction {
    std::string_view name;
    std::size_t least;
    std::size_t most;
    double (*apply)(std::span<const double> arguments);
};

/// nullptr when there is none of that name (lower case).
const CalculatorFunction* find_calculator_function(std::string_view name);

/// The value of pi or e.
std::optional<double> find_calculator_constant(std::string_view name);

/// " (did you mean 'sqrt'?)" for the nearest function or constant, or "".
std::string suggest_calculator_name(std::string_view name);

/// n! for a whole number from 0 to 170; NaN for other numbers; infinity above.
double factorial(double number);

}  // namespace mt
