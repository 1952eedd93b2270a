#include "agent/url_template.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

using mt::Code;
using mt::Result;
using mt::TextArguments;
using mt::UrlTemplate;

UrlTemplate parsed(const std::string& text) {
    Result<UrlTemplate> url = UrlTemplate::parse(text);
    REQUIRE(url);
    return *url;
}

// The address, or the error after "invalid: ".
std::string filled(const std::string& text, const TextArguments& arguments) {
    const Result<std::string> address = parsed(text).fill(arguments);
    if (!address) {
        CHECK(address.error().code == Code::invalid);
    }
    return address ? *address : "invalid: " + address.error().message;
}

bool is_refused(const std::string& text, const std::string& argument) {
    return filled(text, {{"x", argument}}).starts_with("invalid: ");
}

}  // namespace

TEST_CASE("arguments take their places, in path and query") {
    CHECK(filled("/orders", {}) == "/orders");
    CHECK(filled("/orders/{x}", {{"x", "42"}}) == "/orders/42");
    CHECK(filled("/{a}/{b}-{a}?q={q}&z", {{"a", "1"}, {"b", "2"}, {"q", "3"}}) == "/1/2-1?q=3&z");
    CHECK(filled("/?{x}", {{"x", ""}}) == "/?");
    CHECK(parsed("/{b}/{a}?c={c}").names() == std::vector<std::string>{"b", "a", "c"});
    CHECK(parsed("/a?").has_query());
    CHECK_FALSE(parsed("/a/{x}").has_query());
}

TEST_CASE("no argument is more than a part of its place") {
    CHECK(filled("/o/{x}/z", {{"x", "a/b?c#d&e=f%2F g\r\nh\\"}}) == "/o/a%2Fb%3Fc%23d%26e%3Df%252F%20g%0D%0Ah%5C/z");
    CHECK(filled("/o?q={x}", {{"x", "1&admin=1"}}) == "/o?q=1%26admin%3D1");
    CHECK(filled("/o/{x}", {{"x", "\xc3\xa4\xff"}}) == "/o/%C3%A4%FF");
    CHECK(mt::percent_encode("AZaz09-._~") == "AZaz09-._~");
    CHECK(mt::percent_encode(std::string("\0\x7f", 2)) == "%00%7F");
}

TEST_CASE("no argument leaves the path that was written") {
    for (const char* argument : {"..", ".", "../..", "a/../b", "a/..", "./a", "..\\a", "a\\.", ""}) {
        CAPTURE(argument);
        CHECK(is_refused("/orders/{x}/items", argument));
    }
    for (const char* argument : {"...", "a.b", "..a", ".a", "a..", "1.5", "a/b"}) {
        CAPTURE(argument);
        CHECK_FALSE(is_refused("/orders/{x}/items", argument));
    }
    CHECK(is_refused("/orders/.{x}", "."));
    CHECK(filled("/{x}{y}", {{"x", "."}, {"y", "."}}).starts_with("invalid: "));
    CHECK_FALSE(is_refused("/orders?path={x}", "../.."));
}

TEST_CASE("an argument that is not there is named") {
    CHECK(filled("/orders/{id}", {{"x", "1"}}) == "invalid: field 'id' is missing: the address needs it");
    CHECK(filled("/orders/{id}", {{"id", ""}}) == "invalid: field 'id' is empty: the address needs it");
    CHECK(filled("/orders?id={id}", {}) == "invalid: field 'id' is missing: the address needs it");
}

TEST_CASE("what is no template is refused") {
    for (const char* text : {"/{", "/}", "/{}", "/a}b{c", "/{a", "/{a{b}}", "/{a}}", "/{{a}}", "/?{", "/../{a}", "/./a",
                             "/{a?b}", "/{a}/.."}) {
        CAPTURE(text);
        const Result<UrlTemplate> url = UrlTemplate::parse(text);
        REQUIRE_FALSE(url);
        CHECK(url.error().code == Code::invalid);
    }
}
