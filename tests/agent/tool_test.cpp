#include "agent/tool.h"

#include <doctest/doctest.h>

#include <array>
#include <string>

#include "agent/memory_store.h"
#include "config/tenant_config.h"
#include "support/fake_clock.h"

namespace {

// The builtin tools with a store and a clock of their own.
struct Tools {
    std::string call(std::string_view name, const std::string& arguments) {
        mt::Tool* tool = box.find(name);
        REQUIRE(tool != nullptr);
        if (const auto fits = mt::ToolBox::check_arguments(*tool, arguments); !fits) {
            return "refused: " + fits.error().message;
        }
        const auto result = tool->call(arguments, {*store, clock}, {});
        return result ? *result : std::string(mt::describe(result.error().code).name) + ": " + result.error().message;
    }

    mt::test::FakeClock clock;
    mt::test::MemoryStore store{clock};
    mt::ToolBox box = mt::ToolBox::builtin();
};

}  // namespace

TEST_CASE("the toolbox holds what k_builtin_tools says") {
    const mt::ToolBox box = mt::ToolBox::builtin();
    CHECK(box.tools().size() == mt::k_builtin_tools.size());
    for (const std::string_view name : mt::k_builtin_tools) {
        REQUIRE(box.find(name) != nullptr);
        CHECK(box.find(name)->spec().name == name);
        CHECK_FALSE(box.find(name)->spec().description.empty());
        CHECK(box.find(name)->feature() == (name == "analyze" ? "advanced-analytics" : ""));
        CHECK(box.find(name)->pure() == (name == "analyze" || name == "calculator"));
    }
    CHECK(box.find("Calculator") == nullptr);
}

TEST_CASE("arguments are checked against the schema, in one sentence") {
    Tools tools;
    CHECK(tools.call("calculator", "{2+2}") == "refused: the arguments '{2+2}' are no JSON");
    CHECK(tools.call("calculator", "") == "refused: the arguments '' are no JSON");
    CHECK(tools.call("calculator", "[]") == "refused: the arguments must be a JSON object");
    CHECK(tools.call("calculator", "{}") == "refused: field 'expression' is missing");
    CHECK(tools.call("calculator", R"({"expression":4})") ==
          "refused: field 'expression' has the wrong type: it must be a string");
    CHECK(tools.call("calculator", R"({"expression":"4","base":10})") ==
          "refused: unknown field 'base'; the fields are expression");
    CHECK(tools.call("remember", R"({"key":"color"})") == "refused: field 'value' is missing");
    CHECK(tools.call("recall", R"({"key":null})") == "refused: field 'key' has the wrong type: it must be a string");
    CHECK(tools.call("calculator", std::string(100'000, '[')).starts_with("refused: the arguments"));
    CHECK(tools.call("calculator", R"({"expression":"4"})") == "4");
}

TEST_CASE("calculator keeps full precision") {
    Tools tools;
    CHECK(tools.call("calculator", R"({"expression":"0.1+0.2"})") == "0.30000000000000004");
    CHECK(tools.call("calculator", R"({"expression":"8*8"})") == "64");
    CHECK(tools.call("calculator", R"({"expression":"1/0"})") == "invalid: division by zero at position 2");
}

TEST_CASE("current_time tells the clock's time at a distance from UTC") {
    Tools tools;
    CHECK(tools.call("current_time", "{}") == "2026-11-23T00:00:00Z, Monday");
    CHECK(tools.call("current_time", R"({"utc_offset":"+02:00"})") == "2026-11-23T02:00:00+02:00, Monday");
    CHECK(tools.call("current_time", R"({"utc_offset":"-03:30"})") == "2026-11-22T20:30:00-03:30, Sunday");
    CHECK(tools.call("current_time", R"({"utc_offset":"UTC+5"})") == "2026-11-23T05:00:00+05:00, Monday");
    CHECK(tools.call("current_time", R"({"utc_offset":"Z"})") == "2026-11-23T00:00:00Z, Monday");
    for (const char* bad : {"+25:00", "+14:01", "+2:3", "+", "2", "+02:60", "Paris", "+020", "+1:2:3"}) {
        CAPTURE(bad);
        CHECK(tools.call("current_time", std::string(R"({"utc_offset":")") + bad + R"("})").starts_with("invalid: "));
    }
}

TEST_CASE("remember and recall") {
    Tools tools;
    CHECK(tools.call("recall", "{}") == "nothing is remembered");
    CHECK(tools.call("recall", R"({"key":"color"})") == "nothing is remembered under 'color'");
    CHECK(tools.call("remember", R"({"key":" Color ","value":"blue"})") == "remembered color = blue");
    CHECK(tools.call("remember", R"({"key":"age","value":"36"})") == "remembered age = 36");
    CHECK(tools.call("recall", R"({"key":"COLOR"})") == "blue");
    CHECK(tools.call("recall", "{}") == "age = 36\ncolor = blue");
    CHECK(tools.call("remember", R"({"key":"color","value":"red"})") == "remembered color = red");
    CHECK(tools.call("recall", R"({"key":"color"})") == "red");
    CHECK(tools.call("remember", R"({"key":" ","value":"x"})").starts_with("invalid: "));
    CHECK(tools.call("recall", R"({"key":")" + std::string(129, 'k') + R"("})").starts_with("invalid: "));
    tools.store->set_max_bytes(10);
    CHECK(tools.call("remember", R"({"key":"size","value":"large"})").starts_with("storage_full: "));
}

TEST_CASE("recall lists a bounded number of keys") {
    Tools tools;
    for (int i = 100; i < 350; ++i) {
        tools.call("remember", R"({"key":"k)" + std::to_string(i) + R"(","value":"v"})");
    }
    const std::string list = tools.call("recall", "{}");
    CHECK(list.starts_with("k100 = v\nk101 = v\n"));
    CHECK(list.ends_with("k299 = v\n(only the first 200 are listed)"));
}

TEST_CASE("analyze describes numbers and columns") {
    Tools tools;
    CHECK(tools.call("analyze", R"({"data":"1 2 3"})").starts_with("count 3, sum 6, mean 2, median 2, deviation 1 "));
    const std::string both = tools.call("analyze", R"({"data":"day,in,out\nMon,1,4\nTue,3,8"})");
    CHECK(both.starts_with("in: count 2, sum 4, "));
    CHECK(both.find("\nout: count 2, sum 12, ") != std::string::npos);
    CHECK(
        tools.call("analyze", R"({"data":"day,in,out\nMon,1,4\nTue,3,8","column":"out"})").starts_with("out: count 2"));
    CHECK(tools.call("analyze", R"({"data":"1 2 x"})") == "invalid: line 1, value 3: 'x' is no number");
}
