#include "http/message.h"

#include <doctest/doctest.h>

#include <string>

namespace {

using mt::Code;
using mt::http::percent_decode;
using mt::http::percent_encode;
using mt::http::Request;

Request with_query(std::string query) {
    Request request;
    request.query = std::move(query);
    return request;
}

}  // namespace

TEST_CASE("percent-encoding round trips every byte of UTF-8 text") {
    std::string text = "\xC3\xA9\xE2\x82\xAC";
    for (char c = 1; c < 127; ++c) {
        text += c;
    }
    CHECK(*percent_decode(percent_encode(text), false) == text);
    CHECK(*percent_decode(percent_encode(text), true) == text);
    CHECK(percent_encode("aZ0-._~ +/") == "aZ0-._~%20%2B%2F");
}

TEST_CASE("what cannot be decoded is an error") {
    for (const char* text : {"%", "%4", "%zz", "%4g", "a%00b", "%C3", "%FF", "%ED%A0%80"}) {
        CAPTURE(text);
        REQUIRE_FALSE(percent_decode(text, true));
        CHECK(percent_decode(text, true).error().code == Code::invalid);
    }
    CHECK(*percent_decode("a+b%2b", true) == "a b+");
    CHECK(*percent_decode("a+b%2B", false) == "a+b+");
}

TEST_CASE("a query parameter is found by its decoded name") {
    const Request request = with_query("a=1&%71=x+y%21&empty=&flag&&=odd&bad%=1");
    CHECK(*request.parameter("q") == "x y!");
    CHECK(*request.parameter("a") == "1");
    CHECK(request.parameter("empty")->empty());
    CHECK(request.parameter("flag")->empty());
    CHECK(request.parameter("absent").error().code == Code::not_found);
}

TEST_CASE("a parameter that is given twice or cannot be decoded is an error that names it") {
    CHECK(with_query("q=1&q=2").parameter("q").error().code == Code::invalid);
    CHECK(with_query("q=1&%71=2").parameter("q").error().code == Code::invalid);
    const mt::Result<std::string> broken = with_query("q=%zz").parameter("q");
    REQUIRE_FALSE(broken);
    CHECK(broken.error().code == Code::invalid);
    CHECK(broken.error().message.find("'q'") != std::string::npos);
}
