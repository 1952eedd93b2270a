#include "config/budget.h"

#include <fmt/core.h>

#include "base/text.h"
#include "base/units.h"

namespace mt {

Result<Budget> parse_budget(std::string_view text) {
    if (text.empty()) {
        return Budget{};
    }
    const std::size_t slash = text.find('/');
    const std::string_view period = slash == std::string_view::npos ? "" : text.substr(slash + 1);
    const Result<std::int64_t> tokens = parse_integer(text.substr(0, slash));
    if (tokens && *tokens > 0 && (period == "day" || period == "month")) {
        return Budget{*tokens, period == "day" ? BudgetPeriod::day : BudgetPeriod::month};
    }
    return Error{Code::invalid,
                 fmt::format("{} is no budget: write tokens per day or month, such as 1000000/day", quote(text))};
}

}  // namespace mt
