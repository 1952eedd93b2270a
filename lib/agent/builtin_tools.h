#pragma once

#include <memory>

#include "agent/tool.h"

namespace mt {

/// Evaluates an expression (calculator.h). Pure.
std::unique_ptr<Tool> make_calculator_tool();

/// Tells the wall clock's time as RFC 3339 with the day of the week.
std::unique_ptr<Tool> make_current_time_tool();

/// Keeps a text under a key in the namespace "memory" of the tenant's store. Keys are lower-cased.
std::unique_ptr<Tool> make_remember_tool();

/// Reads what remember keeps: the value alone, or, without a key, lines "key = value".
std::unique_ptr<Tool> make_recall_tool();

/// Start of the result of recall when there is nothing to tell.
inline constexpr std::string_view k_nothing_remembered = "nothing is remembered";

/// Statistics of numbers or CSV columns (statistics.h, data_table.h), a line per column. Pure; needs the feature
/// advanced-analytics.
std::unique_ptr<Tool> make_analyze_tool();

}  // namespace mt
