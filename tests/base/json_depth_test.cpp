#include "base/json_depth.h"

#include <doctest/doctest.h>

#include <string>

using mt::is_nested_deeper;

TEST_CASE("arrays and objects are counted while they are open") {
    for (const char* shallow : {"", "7", "[]", "{}", R"({"a":[]})", "[[],[],[[]]]", R"([{"a":[1]},{"b":[2]}])"}) {
        CAPTURE(shallow);
        CHECK_FALSE(is_nested_deeper(shallow, 3));
    }
    for (const char* deep : {"[[[[", "[[[[]]]]", R"({"a":[{"b":{}}]})", "[],[[[{"}) {
        CAPTURE(deep);
        CHECK(is_nested_deeper(deep, 3));
    }
    CHECK(is_nested_deeper("[", 0));
    CHECK_FALSE(is_nested_deeper(std::string(100, '[')));
    CHECK(is_nested_deeper(std::string(101, '[')));
    CHECK(is_nested_deeper(std::string(10'000'000, '{')));
}

TEST_CASE("brackets in texts do not count, whatever is escaped there") {
    CHECK_FALSE(is_nested_deeper(R"("[[[[")", 1));
    CHECK_FALSE(is_nested_deeper(R"(["\"[[[", "\\"])", 1));
    CHECK_FALSE(is_nested_deeper(R"(["\\\"[[["])", 1));
    CHECK(is_nested_deeper(R"(["\\",[]])", 1));
    CHECK(is_nested_deeper(R"({"\\\"":[]})", 1));
    CHECK_FALSE(is_nested_deeper("\"[[[[", 1));
    CHECK_FALSE(is_nested_deeper("\"\\", 1));
}
