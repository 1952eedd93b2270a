#include <doctest/doctest.h>

#include <string>

#include "http/client.h"
#include "http/server.h"

using mt::Code;
using mt::http::Address;
using mt::http::parse_address;
using mt::http::parse_url;

TEST_CASE("addresses are read and written") {
    struct Case {
        const char* text;
        const char* host;
        int port;
        const char* printed;
        bool loopback;
    };
    for (const Case& c :
         {Case{"127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080", true},
          Case{"localhost:1", "localhost", 1, "localhost:1", true}, Case{"[::1]:9", "::1", 9, "[::1]:9", true},
          Case{":0", "::", 0, "[::]:0", false}, Case{"65535", "127.0.0.1", 65535, "127.0.0.1:65535", true},
          Case{"0.0.0.0:80", "0.0.0.0", 80, "0.0.0.0:80", false},
          Case{"127.1.2.3:80", "127.1.2.3", 80, "127.1.2.3:80", true},
          Case{"127.0.0.1.example:80", "127.0.0.1.example", 80, "127.0.0.1.example:80", false},
          Case{"[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1", 80, "[::ffff:127.0.0.1]:80", true}}) {
        CAPTURE(c.text);
        const mt::Result<Address> address = parse_address(c.text);
        REQUIRE(address);
        CHECK(address->host == c.host);
        CHECK(address->port == c.port);
        CHECK(address->to_string() == c.printed);
        CHECK(address->is_loopback() == c.loopback);
    }
    const mt::Result<Address> unix_socket = parse_address("unix:/run/x y.sock");
    REQUIRE(unix_socket);
    CHECK(unix_socket->unix_path == "/run/x y.sock");
    CHECK(unix_socket->to_string() == "unix:/run/x y.sock");
    CHECK(unix_socket->is_loopback());
}

TEST_CASE("what is no address is refused") {
    for (const char* text : {"", "host", "host:", "host:65536", "host:-1", "host:8a", "::1:80", "[::1]", "[x]:80",
                             "a b:80", "unix:", "http://h:80", "h/x:80", "-1", "[]:80"}) {
        CAPTURE(text);
        REQUIRE_FALSE(parse_address(text));
        CHECK(parse_address(text).error().code == Code::invalid);
    }
}

TEST_CASE("URLs are split") {
    const auto url = parse_url("http://[::1]:81/a/b?c=d");
    REQUIRE(url);
    CHECK(url->host == "::1");
    CHECK(url->port == 81);
    CHECK(url->path == "/a/b?c=d");
    CHECK(parse_url("example.org:8080")->port == 8080);
    CHECK(parse_url("HTTP://example.org")->port == 80);
    CHECK(parse_url("http://h?x")->path == "/?x");
    CHECK(parse_url("unix:/tmp/s")->unix_path == "/tmp/s");
    CHECK_FALSE(url->tls);
    const auto secure = parse_url("Https://h/x");
    REQUIRE(secure);
    CHECK(secure->tls);
    CHECK(secure->host == "h");
    CHECK(secure->port == 443);
    CHECK(secure->path == "/x");
    CHECK(parse_url("https://[::1]:8443")->port == 8443);
    CHECK(parse_url("https:80")->host == "https");
    for (const char* text : {"", "https://", "https://http://h", "http://", "http://u@h/", "ftp://h/", "h:99999",
                             "http://h/a b", "http://h/#f", "unix:"}) {
        CAPTURE(text);
        REQUIRE_FALSE(parse_url(text));
        CHECK(parse_url(text).error().code == Code::invalid);
    }
}
