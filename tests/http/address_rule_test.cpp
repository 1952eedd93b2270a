#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

#include "http/upstream.h"

namespace {

using mt::Networks;
using mt::http::AddressRule;

AddressRule public_but(const std::vector<std::string>& exceptions) {
    const mt::Result<Networks> networks = Networks::parse(exceptions);
    REQUIRE(networks);
    return {true, *networks};
}

}  // namespace

TEST_CASE("public addresses may be connected to, each network for special use begins and ends where it should") {
    const AddressRule rule{true};
    struct Network {
        const char* before;  ///< the last public address before it, "" for none
        const char* first;
        const char* last;
        const char* after;
    };
    constexpr std::array k_networks{
        Network{"", "0.0.0.0", "0.255.255.255", "1.0.0.0"},
        Network{"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
        Network{"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
        Network{"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
        Network{"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
        Network{"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
        Network{"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
        Network{"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
        Network{"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
        Network{"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
        Network{"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
        Network{"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
        Network{"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
        Network{"223.255.255.255", "224.0.0.0", "255.255.255.255", ""},
        Network{"", "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"},
        Network{"2000:ffff:ffff::", "2001::", "2001:1ff:ffff::", "2001:200::"},
        Network{"2001:db7:ffff::", "2001:db8::", "2001:db8:ffff::", "2001:db9::"},
        Network{"3ffe:ffff::", "3fff::", "3fff:fff:ffff::", "3fff:1000::"},
        Network{"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "ffff::", ""},
    };
    for (const Network& network : k_networks) {
        CAPTURE(network.first);
        CHECK((*network.before == '\0' || rule.allows(network.before)));
        CHECK_FALSE(rule.allows(network.first));
        CHECK_FALSE(rule.allows(network.last));
        CHECK((*network.after == '\0' || rule.allows(network.after)));
    }
    for (const char* special : {"::1", "100::1", "64:ff9b:1::8.8.8.8", "fc00::1", "fdff::1", "fe80::1", "febf::1",
                                "fec0::1", "ff02::1", "::8.8.8.8", "2001:0:4136:e378:8000:63bf:3fff:fdd2"}) {
        CAPTURE(special);
        CHECK_FALSE(rule.allows(special));
    }
    CHECK(rule.allows("8.8.8.8"));
    CHECK(rule.allows("2606:4700::1111"));
}

TEST_CASE("an address that carries an IPv4 one is judged by it") {
    const AddressRule rule{true};
    for (const std::string prefix : {"::ffff:", "64:ff9b::"}) {
        CHECK(rule.allows(prefix + "8.8.8.8"));
        CHECK_FALSE(rule.allows(prefix + "127.0.0.1"));
        CHECK_FALSE(rule.allows(prefix + "169.254.169.254"));
        CHECK_FALSE(rule.allows(prefix + "10.1.2.3"));
    }
    CHECK(rule.allows("2002:808:808::1"));
    CHECK_FALSE(rule.allows("2002:7f00:1::1"));
    CHECK_FALSE(rule.allows("2002:c0a8:101::1"));
}

TEST_CASE("what is no numeric address is never allowed, and without the rule everything else is") {
    for (const char* text : {"", "localhost", "127.1", "0x7f.0.0.1", "2130706433", "8.8.8.8 ", "8.8.8.8:80", "[::1]",
                             "fe80::1%lo", "unix", "::ffff:1.2.3.4.5"}) {
        CAPTURE(text);
        CHECK_FALSE(AddressRule{true}.allows(text));
        CHECK_FALSE(AddressRule{false}.allows(text));
    }
    CHECK(AddressRule{}.allows("127.0.0.1"));
    CHECK(AddressRule{}.allows("::1"));
}

TEST_CASE("exceptions win, whatever way the address is written") {
    const AddressRule rule = public_but({"10.0.0.0/8", "::1", "fd00::/8"});
    for (const char* text : {"10.9.8.7", "::ffff:10.9.8.7", "64:ff9b::a09:807", "2002:a09:807::", "::1", "fd12::1"}) {
        CAPTURE(text);
        CHECK(rule.allows(text));
    }
    for (const char* text : {"127.0.0.1", "11.0.0.0x", "::2", "fc00::1", "192.168.0.1"}) {
        CAPTURE(text);
        CHECK_FALSE(rule.allows(text));
    }
}
