#pragma once

#include <optional>
#include <string_view>

#include "agent/builtin_rules.h"

namespace mt {

/// A rule reads one clause, without politeness in front, and returns the call that it asks for.
using Rule = std::optional<PlannedCall> (*)(std::string_view clause);

/// "what time is it", "current date", "the time in UTC+2".
std::optional<PlannedCall> time_rule(std::string_view clause);

/// "remember that my name is Ada", "remember color = blue", "remember it as answer", "save 42 as answer".
std::optional<PlannedCall> remember_rule(std::string_view clause);

/// "recall color", "what is my name", "what do you remember".
std::optional<PlannedCall> recall_rule(std::string_view clause);

/// "analyze 3, 5, 8", "statistics of ...", "analyze" with CSV after it, "the standard deviation of 1, 2, 4".
std::optional<PlannedCall> analyze_rule(std::string_view clause);

/// A text that is CSV and nothing else: a header with two columns or more and at least two rows.
std::optional<PlannedCall> bare_csv_rule(std::string_view message);

/// "calculate 2+2", "what is 15% of 80", "multiply it by 3", or nothing but an expression ("2^10").
std::optional<PlannedCall> calculator_rule(std::string_view clause);

}  // namespace mt
