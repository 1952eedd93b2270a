#include "base/networks.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

using mt::Networks;

Networks networks(const std::vector<std::string>& texts) {
    mt::Result<Networks> parsed = Networks::parse(texts);
    REQUIRE(parsed);
    return *std::move(parsed);
}

}  // namespace

TEST_CASE("networks hold the addresses of their prefix") {
    const Networks some = networks({"10.0.0.0/8", "192.0.2.7", "2001:db8:1::/47", "::1/128", "172.16.0.0/12"});
    for (const char* inside : {"10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8:0::1", "2001:db8:1::1",
                               "2001:db8:0:ffff::", "::1", "172.31.255.255", "::ffff:10.1.2.3"}) {
        CAPTURE(inside);
        CHECK(some.contains(inside));
    }
    for (const char* outside : {"11.0.0.0", "9.255.255.255", "192.0.2.8", "2001:db8:2::", "2001:db7::", "::2",
                                "172.32.0.0", "172.15.255.255", "unix", "", "x", "10.0.0", "10.0.0.1/8"}) {
        CAPTURE(outside);
        CHECK_FALSE(some.contains(outside));
    }
    CHECK(networks({"0.0.0.0/0"}).contains("203.0.113.9"));
    CHECK_FALSE(networks({"0.0.0.0/0"}).contains("2001:db8::1"));
    CHECK(networks({"::/0"}).contains("203.0.113.9"));
    CHECK(networks({"::ffff:10.0.0.0/104"}).contains("10.9.9.9"));
    CHECK(networks({"unix"}).contains("unix"));
    CHECK_FALSE(networks({}).contains("127.0.0.1"));
}

TEST_CASE("what is no network is refused by name") {
    for (const char* text : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08",
                             "10.0.0.0/8/8", "10.0.0.0/8 ", " 10.0.0.0/8", "10.0.0/8", "10.0.0.256", "::1/129", ":::/8",
                             "[::1]", "fe80::1%eth0", "localhost", "127.0.0.1:80", "10.0.0.0/ 8"}) {
        CAPTURE(text);
        const std::vector<std::string> texts{text};
        const mt::Result<Networks> parsed = Networks::parse(texts);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code == mt::Code::invalid);
    }
}
