#include "config/budget.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

using namespace mt;

TEST_CASE("a budget is tokens per day or month, or nothing") {
    CHECK(*parse_budget("1000000/day") == Budget{1'000'000, BudgetPeriod::day});
    CHECK(*parse_budget("1/month") == Budget{1, BudgetPeriod::month});
    CHECK(*parse_budget("9223372036854775807/day") ==
          Budget{std::numeric_limits<std::int64_t>::max(), BudgetPeriod::day});
    CHECK(*parse_budget("") == Budget{});
    for (const char* wrong : {"5", "5/", "/day", "0/day", "-5/day", "5/week", "5/Day", "5 /day", "5/day/day", " ",
                              "1e6/day", "9223372036854775808/day"}) {
        const Result<Budget> budget = parse_budget(wrong);
        REQUIRE_MESSAGE(!budget, wrong);
        CHECK(budget.error().code == Code::invalid);
        CHECK(budget.error().message.find("1000000/day") != std::string::npos);
    }
}
