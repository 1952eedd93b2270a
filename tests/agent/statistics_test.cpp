#include "agent/statistics.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "agent/data_table.h"

namespace {

// The message of the failure, or "read".
std::string fault(const std::string& data, const std::string& column = "") {
    const auto columns = mt::read_data_table(data, column);
    return columns ? "read" : columns.error().message;
}

std::vector<double> values(const std::string& data, const std::string& column = "") {
    const auto columns = mt::read_data_table(data, column);
    REQUIRE(columns);
    REQUIRE(columns->size() == 1);
    return columns->front().values;
}

}  // namespace

TEST_CASE("statistics of 3, 5, 8 by hand") {
    const auto statistics = mt::describe_numbers({3, 5, 8});
    REQUIRE(statistics);
    CHECK(statistics->count == 3);
    CHECK(statistics->sum == 16);
    CHECK(statistics->mean == 16.0 / 3);
    CHECK(statistics->median == 5);
    // Squared distances from 16/3: 49/9 + 1/9 + 64/9 = 114/9; divided by 2, the root of 19/3.
    CHECK(*statistics->deviation == doctest::Approx(std::sqrt(19.0 / 3)).epsilon(1e-15));
    CHECK(statistics->min == 3);
    CHECK(statistics->max == 8);
    CHECK(statistics->p25 == 4);
    CHECK(statistics->p75 == 6.5);
    CHECK(statistics->p90 == doctest::Approx(7.4));
    CHECK(statistics->p99 == doctest::Approx(7.94));
    CHECK(*statistics->trend == 2.5);
    CHECK(mt::format_statistics(*statistics)
              .starts_with("count 3, sum 16, mean 5.333333333333333, median 5, deviation "));
    CHECK(mt::format_statistics(*statistics).ends_with(", trend 2.5 per step (rising)"));
}

TEST_CASE("order matters for the trend alone") {
    const auto falling = mt::describe_numbers({8, 5, 3});
    const auto flat = mt::describe_numbers({0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1});
    REQUIRE(falling);
    REQUIRE(flat);
    CHECK(*falling->trend == -2.5);
    CHECK(falling->median == 5);
    CHECK(mt::format_statistics(*falling).ends_with("(falling)"));
    CHECK(mt::format_statistics(*flat).ends_with("(flat)"));
    CHECK(*flat->deviation == 0);
}

TEST_CASE("statistics stay exact far from zero") {
    // The textbook formula (sum of squares minus square of sum) loses all digits here.
    const auto shifted = mt::describe_numbers({1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16});
    REQUIRE(shifted);
    CHECK(shifted->mean == 1e9 + 10);
    CHECK(*shifted->deviation == doctest::Approx(std::sqrt(30.0)).epsilon(1e-12));
    const auto cancelling = mt::describe_numbers({1e16, 1, -1e16});
    REQUIRE(cancelling);
    CHECK(cancelling->sum == 1);
}

TEST_CASE("one number, none, and numbers too large") {
    const auto one = mt::describe_numbers({42});
    REQUIRE(one);
    CHECK_FALSE(one->deviation);
    CHECK_FALSE(one->trend);
    CHECK(one->p99 == 42);
    CHECK(mt::format_statistics(*one) ==
          "count 1, sum 42, mean 42, median 42, min 42, max 42, p25 42, p75 42, p90 42, p99 42");
    CHECK(mt::describe_numbers({}).error().code == mt::Code::invalid);
    CHECK(mt::describe_numbers({1e308, 1e308}).error().code == mt::Code::invalid);
    CHECK(mt::describe_numbers({1e300, -1e300}).error().code == mt::Code::invalid);
}

TEST_CASE("numbers in all separations") {
    const std::vector<double> expected{1, -2.5, 300};
    for (const char* data :
         {"1,-2.5,3e2", "1 -2.5 300", "1\n-2.5\n300\n", "1;-2.5; 300", " 1,\t-2.5 ,\r\n300", "+1, -2.5\n\n300"}) {
        CAPTURE(data);
        CHECK(values(data) == expected);
    }
}

TEST_CASE("columns of CSV") {
    const char* csv = "\"Month, short\",Sales,cost\r\nJan,10,1.5\r\n\r\nFeb,\"20\",2.5\r\n";
    const auto columns = mt::read_data_table(csv, "");
    REQUIRE(columns);
    REQUIRE(columns->size() == 2);
    CHECK((*columns)[0].name == "Sales");
    CHECK((*columns)[0].values == std::vector<double>{10, 20});
    CHECK((*columns)[1].values == std::vector<double>{1.5, 2.5});
    CHECK(values(csv, "SALES") == std::vector<double>{10, 20});
    CHECK(values("sales\n1\n2") == std::vector<double>{1, 2});
}

TEST_CASE("junk is named with its line and column") {
    CHECK(fault("1, two, 3") == "line 1, value 2: 'two' is no number");
    CHECK(fault("1, 2\n3, x") == "line 2, value 2: 'x' is no number");
    CHECK(fault("m,sales\nJan,10\nFeb,n/a") == "line 3, column 'sales': 'n/a' is no number");
    CHECK(fault("m,sales\nJan,10\nFeb,") == "line 3, column 'sales': '' is no number");
    CHECK(fault("m,sales\nJan,10,5") == "line 2 has 3 cells where the header has 2");
    CHECK(fault("m,sales\nJan,10", "price") == "there is no column 'price'; the columns are 'm, sales'");
    CHECK(fault("1,2", "price") == "there is no column 'price': the data has no header line");
    CHECK(fault("a,b\nc,d") == "no column of 'a, b' holds numbers");
    CHECK(fault("m,sales\nJan,10", "m") == "line 2, column 'm': 'Jan' is no number");
    CHECK(fault(" \n") == "there is no data");
}
