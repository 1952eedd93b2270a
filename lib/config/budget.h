#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace mt {

/// What a budget is given for: a calendar day or month in UTC.
enum class BudgetPeriod { day, month };

/// Tokens of language models for each period.
struct Budget {
    std::int64_t tokens = 0;  ///< 0: no budget
    BudgetPeriod period = BudgetPeriod::day;

    friend bool operator==(const Budget&, const Budget&) = default;
};

/// Reads "1000000/day" or "20000000/month"; "" is no budget. Errors: invalid. Pure, thread-safe.
Result<Budget> parse_budget(std::string_view text);

}  // namespace mt
