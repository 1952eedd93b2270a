#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mt {

/// Turns arithmetic in words and symbols into an expression, word by word from left to right: "the square root of 16
/// plus it" -> "sqrt(16)+{it}". References as arithmetic_words.h says. Absent when a word is not arithmetic; whether
/// the result is well-formed is not checked.
std::optional<std::string> translate_words(std::string_view text);

/// Takes the name of a piece of an analysis ("average", "90th percentile") from the front of `text` and returns the
/// name it has in the analysis ("mean", "p90"); "" with `text` unchanged when there is none.
std::string_view eat_statistic(std::string_view& text);

}  // namespace mt
