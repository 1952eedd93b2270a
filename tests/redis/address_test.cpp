#include "redis/address.h"

#include <doctest/doctest.h>

#include <array>

using mt::Code;
using mt::redis::Address;
using mt::redis::parse_address;

namespace {

Address read(std::string_view text) {
    const mt::Result<Address> address = parse_address(text);
    REQUIRE_MESSAGE(address.has_value(), std::string(text));
    return *address;
}

}  // namespace

TEST_CASE("addresses of Redis in their forms") {
    CHECK(read("redis").to_string() == "redis://redis:6379/0");
    CHECK(read("redis:6380").to_string() == "redis://redis:6380/0");
    CHECK(read("redis://redis").to_string() == "redis://redis:6379/0");
    CHECK(read("redis://10.0.0.1:1/7").to_string() == "redis://10.0.0.1:1/7");
    CHECK(read("redis://h/").database == 0);
    CHECK(read("redis://[::1]:7000/2").to_string() == "redis://[::1]:7000/2");
    CHECK(read("redis://[::1]").host == "::1");
    const Address login = read("redis://us%40er:p%3A%2f%25@host:1/3");
    CHECK(login.user == "us@er");
    CHECK(login.password == "p:/%");
    CHECK(login.host == "host");
    CHECK(login.database == 3);
    CHECK(login.to_string() == "redis://host:1/3");
    CHECK(read("redis://:secret@host").user.empty());
    CHECK(read("redis://:secret@host").password == "secret");
    CHECK(read("redis://:with@at/and:colon@host").password == "with@at/and:colon");
    const Address local = read("unix:///run/redis.sock?db=4&password=p%26w&user=u");
    CHECK(local.socket == "/run/redis.sock");
    CHECK(local.database == 4);
    CHECK(local.password == "p&w");
    CHECK(local.user == "u");
    CHECK(local.to_string() == "unix:///run/redis.sock");
}

TEST_CASE("faults of an address are invalid and never repeat a password") {
    constexpr std::array<std::string_view, 24> k_wrong{
        "",
        "redis://",
        "redis://:geheim@",
        "redis://:geheim@host:port",
        "redis://:geheim@host:0",
        "redis://:geheim@host:65536",
        "redis://:geheim@host:",
        "redis://:geheim@host/x",
        "redis://:geheim@host/-1",
        "redis://:geheim@host/99999999999",
        "redis://:geheim@ho st",
        "redis://:geheim%2@host",
        "redis://:geheim%zz@host",
        "redis://:geheim@[::1",
        "redis://:geheim@[::1]7000",
        "rediss://:geheim@host",
        "http://:geheim@host",
        "unix://",
        "unix://run/redis.sock",
        "unix:///",
        "unix:///s?db=x&password=geheim",
        "unix:///s?password=geheim&other=1",
        "unix:///s?password=geheim%",
        "host:geheim",
    };
    for (const std::string_view text : k_wrong) {
        CAPTURE(std::string(text));
        const mt::Result<Address> address = parse_address(text);
        REQUIRE_FALSE(address);
        CHECK(address.error().code == Code::invalid);
        CHECK(address.error().message.find("geheim") == std::string::npos);
    }
    CHECK(parse_address("rediss://host").error().message.find("stunnel") != std::string::npos);
}
