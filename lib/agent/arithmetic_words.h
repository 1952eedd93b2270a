#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mt {

/// Arithmetic in English as an expression of calculator.h: "multiply 3 by 4", "add 10 to the sum", "15% of 80", "square
/// root of 16", "the mean of 3, 5 and 8", "2 plus 2". Where the text refers to an earlier result stands a reference in
/// braces: {it} for the newest one, {mean} (sum, median, count, min, max, deviation, p25, p75, p90, p99, trend) for a
/// piece of the newest analysis, {mean of sales} for that of one column. Absent when a word is not arithmetic or the
/// result would be no expression.
std::optional<std::string> arithmetic_expression(std::string_view text);

/// The reference that fills all of `text` ("it", "the result", "the mean"), without braces.
std::optional<std::string> whole_reference(std::string_view text);

/// True when there is something to compute in it: an operator or a function.
bool has_operation(std::string_view expression);

/// The first two or more numbers that stand next to each other ("3, 5 and 8"), comma by comma; a word between two
/// commas counts as well, so that the analysis can complain of it. "" when there are not two numbers.
std::string number_list(std::string_view text);

}  // namespace mt
