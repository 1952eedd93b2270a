#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mt {

/// Shortest decimal text that reads back as the same double: "64", "5.333333333333333", "1e+20". Minus zero is "0".
std::string format_exact(double value);

/// For people: whole numbers up to 2^53 in full, others with at most 15 significant digits ("0.3", "1e+20").
std::string format_number(double value);

/// Reads a finite decimal number that fills all of `text`, with an optional sign and exponent: "-1.5e3".
std::optional<double> parse_number(std::string_view text);

}  // namespace mt
