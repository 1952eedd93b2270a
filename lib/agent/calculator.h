#pragma once

#include <string_view>

#include "base/result.h"

namespace mt {

/// The value of an arithmetic expression: + - * / % (remainder, sign of the dividend) ^ or ** (right-associative, binds
/// tighter than a sign: -2^2 = -4), postfix !, signs, parentheses, pi, e, decimal and scientific numbers, and
/// functions: sqrt cbrt abs ln log (base 10) log10 log2 exp sin cos tan asin acos atan (radians) floor ceil trunc
/// round(x[, digits]) pow min max sum mean median. At most 10,000 characters and 200 levels deep. Errors: invalid, with
/// the position (from 1): syntax, division by zero, outside a function's domain, overflow.
Result<double> evaluate(std::string_view expression);

/// True when `expression` is well-formed, even if it has no value (1/0).
bool is_expression(std::string_view expression);

/// True for the lower-case names of functions.
bool is_function_name(std::string_view name);

/// True for the lower-case names of constants.
bool is_constant_name(std::string_view name);

}  // namespace mt
