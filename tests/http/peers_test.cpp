#include "http/peers.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "base/networks.h"
#include "http/forwarding.h"

namespace {

using mt::Networks;
using mt::http::Fields;
using mt::http::forwarded_client;
using mt::http::Peer;
using mt::http::PeerTable;
using mt::http::PeerTicket;

Networks networks(const std::vector<std::string>& texts) {
    mt::Result<Networks> parsed = Networks::parse(texts);
    REQUIRE(parsed);
    return *std::move(parsed);
}

std::string client_of(const Fields& fields) {
    return forwarded_client(fields, "10.0.0.1", networks({"10.0.0.0/8", "2001:db8::/32"}));
}

}  // namespace

TEST_CASE("forwarding fields are believed as far as trusted proxies wrote them") {
    CHECK(client_of({}) == "10.0.0.1");
    CHECK(client_of({{"X-Forwarded-For", "203.0.113.9"}}) == "203.0.113.9");
    CHECK(client_of({{"x-forwarded-for", "198.51.100.1, 203.0.113.9 ,10.2.2.2"}}) == "203.0.113.9");
    CHECK(client_of({{"X-Forwarded-For", "198.51.100.1"}, {"X-Forwarded-For", "203.0.113.9"}}) == "203.0.113.9");
    CHECK(client_of({{"X-Forwarded-For", "10.9.9.9, 10.2.2.2"}}) == "10.9.9.9");
    CHECK(client_of({{"X-Forwarded-For", "evil, 10.2.2.2"}}) == "10.2.2.2");
    CHECK(client_of({{"X-Forwarded-For", "203.0.113.9, unknown"}}) == "10.0.0.1");
    CHECK(client_of({{"X-Forwarded-For", "203.0.113.9:4711"}}) == "203.0.113.9");
    CHECK(client_of({{"X-Forwarded-For", ""}}) == "10.0.0.1");
    CHECK(client_of({{"Forwarded", "for=203.0.113.9;proto=https;by=10.0.0.1"}}) == "203.0.113.9");
    CHECK(client_of({{"Forwarded", "for=198.51.100.1, for=\"[2001:db9::1]:80\", for=10.3.3.3"}}) == "2001:db9::1");
    CHECK(client_of({{"Forwarded", "For=\"203.0.113.9:80\""}}) == "203.0.113.9");
    CHECK(client_of({{"Forwarded", "for=203.0.113.9"}, {"X-Forwarded-For", "203.0.113.9"}}) == "203.0.113.9");
    CHECK(client_of({{"Forwarded", "for=203.0.113.9"}, {"X-Forwarded-For", "198.51.100.1"}}) == "10.0.0.1");
    CHECK(client_of({{"Forwarded", "for=_hidden"}}) == "10.0.0.1");
    CHECK(client_of({{"Forwarded", "proto=https"}}) == "10.0.0.1");
    CHECK(client_of({{"Forwarded", "for=\"[\""}}) == "10.0.0.1");
}

TEST_CASE("connections are counted per address, and the places come back") {
    PeerTable table(2);
    const Peer peer{"192.0.2.1", false, false};
    {
        const auto first = table.admit(peer);
        auto second = table.admit(peer);
        CHECK(first);
        REQUIRE(second);
        CHECK_FALSE(table.admit(peer));
        CHECK(table.admit({"192.0.2.2", false, false}));
        const PeerTicket moved = *std::move(second);
        second.reset();
        CHECK_FALSE(table.admit(peer));
    }
    CHECK(table.admit(peer));
}

TEST_CASE("one customer's IPv6 network counts as one address; loopback and trusted proxies are not counted") {
    PeerTable table(1);
    const auto first = table.admit({"2001:db8:0:1::1", false, false});
    CHECK_FALSE(table.admit({"2001:db8:0:1:ffff::2", false, false}));
    CHECK(table.admit({"2001:db8:0:2::1", false, false}));
    const auto proxy = table.admit({"10.0.0.1", false, true});
    CHECK(table.admit({"10.0.0.1", false, true}));
    const auto local = table.admit({"127.0.0.1", true, false});
    CHECK(table.admit({"127.0.0.1", true, false}));
    CHECK(table.admit({"unix", true, false}));
}
