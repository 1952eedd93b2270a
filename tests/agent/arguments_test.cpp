#include "agent/arguments.h"

#include <doctest/doctest.h>

#include <string>

namespace {

using mt::Code;

// "fits", or the error.
std::string check(const std::string& schema, const std::string& arguments) {
    const mt::Result<void> fits = mt::check_schema(schema, arguments);
    return fits ? "fits" : std::string(mt::describe(fits.error().code).name) + ": " + fits.error().message;
}

}  // namespace

TEST_CASE("a schema that is none is an error, not the end") {
    for (const char* schema : {"nonsense", R"({"properties":7})", R"({"required":{}})", R"({"type":7})", R"([])",
                               R"({"$ref":"http://127.0.0.1:1/schema"})"}) {
        CAPTURE(schema);
        CHECK(check(schema, "{}").starts_with("internal: "));
    }
}

TEST_CASE("a field of whatever name is the model's mistake, not ours") {
    const std::string schema = R"({"type":"object","additionalProperties":{"type":"string"}})";
    CHECK(check(schema, R"({"a":"x"})") == "fits");
    for (const char* name : {"a", "~", "a~b", "a/b", "", "[x]", "..", "a'b", "\\u0000"}) {
        CAPTURE(name);
        CHECK(check(schema, "{\"" + std::string(name) + "\":5}").starts_with("invalid: "));
    }
    CHECK(check(R"({"type":"object","properties":{"a/b":{"type":"string"}}})", R"({"a/b":5})") ==
          "invalid: field 'a/b' has the wrong type: it must be a string");
}

TEST_CASE("nested fields, choices and bounds are named") {
    const std::string schema =
        R"({"type":"object","properties":{"size":{"enum":["s","l"]},"count":{"type":"integer","maximum":5},)"
        R"("where":{"type":"object","required":["city"]}}})";
    CHECK(check(schema, R"({"size":"s","count":5,"where":{"city":1}})") == "fits");
    CHECK(check(schema, R"({"size":"m"})").find("'size'") != std::string::npos);
    CHECK(check(schema, R"({"count":6})").find("'count'") != std::string::npos);
    CHECK(check(schema, R"({"where":{}})") == "invalid: field 'city' is missing");
}

TEST_CASE("arguments that are nested without end are refused") {
    const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
    CHECK(check(R"({"type":"object","properties":{"a":{"enum":[[]]}}})", "{\"a\":" + deep + "}") ==
          "invalid: the arguments are nested too deep");
}

TEST_CASE("a long text against a pattern is no danger") {
    const std::string schema = R"({"type":"object","properties":{"id":{"type":"string","pattern":"^(a|b)*$"}}})";
    CHECK(check(schema, R"({"id":"abba"})") == "fits");
    CHECK(check(schema, R"({"id":")" + std::string(1'000, 'a') + R"("})") == "fits");
    const std::string text(1'000'000, 'a');
    CHECK(check(schema, R"({"id":")" + text + R"("})") == "invalid: a text in the arguments is longer than 1000 bytes");
    const std::string nested =
        R"({"type":"object","properties":{"a":{"items":{"patternProperties":{"^(a|b)*$":{}}}}}})";
    CHECK(check(nested, R"({"a":[{")" + text + R"(":1}]})").starts_with("invalid: "));
    CHECK(check(R"({"type":"object"})", R"({"id":")" + text + R"("})") == "fits");
}
