#include <doctest/doctest.h>

#include <atomic>
#include <iterator>
#include <string>

#include "http/server.h"
#include "http/test_server.h"

namespace {

using mt::http::Request;
using mt::http::Responder;
using mt::http::ServerLimits;
using mt::test::Event;
using mt::test::get;
using mt::test::has;
using mt::test::post;
using mt::test::RawClient;
using mt::test::RawReply;
using mt::test::TestServer;

void echo(const Request& request, Responder& responder) {
    responder.send({.body = request.method + " " + request.target + " " + request.body});
}

}  // namespace

TEST_CASE("refusals of the transport carry the encoder's reply and close the connection") {
    TestServer server(echo);
    struct Case {
        std::string stream;
        int status;
        const char* body;
    };
    const Case cases[]{
        {"GET / HTTP/1.1\r\n\r\n", 400, "invalid"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
         "invalid"},
        {post("/", "x", "Expect: the-unexpected\r\n"), 417, "expectation_failed"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "unsupported"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", 413, "too_large"},
        {get("/" + std::string(9'000, 'x')), 414, "uri_too_long"},
        {post("/", "x", "Content-Encoding: gzip\r\n"), 415, "unsupported_media"},
        {get("/", "X: " + std::string(40'000, 'x') + "\r\n"), 431, "head_too_large"},
    };
    for (const Case& c : cases) {
        CAPTURE(c.stream.substr(0, 80));
        RawClient client = server.connect();
        REQUIRE(client.send(c.stream + get("/smuggled")));
        const RawReply reply = client.reply();
        CHECK(reply.status == c.status);
        CHECK(reply.body == c.body);
        CHECK(has(reply.head, "Connection: close\r\n"));
        CHECK(has(reply.head, "X-Fault: yes\r\n"));
        bool end = false;
        CHECK(client.rest(&end).empty());
        CHECK(end);
    }
    CHECK(server.refusals() == static_cast<int>(std::size(cases)));
}

TEST_CASE("a client that sends far too much can still read why it was refused") {
    ServerLimits limits;
    limits.max_body = 1000;
    TestServer server(echo, limits);
    for (const bool chunked : {false, true}) {
        RawClient client = server.connect();
        const std::string body(4 * 1024UL * 1024, 'x');
        REQUIRE(client.send(chunked
                                ? "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n400000\r\n" + body
                                : post("/", body)));
        const RawReply reply = client.reply();
        CHECK(reply.status == 413);
        CHECK(reply.whole);
    }
    RawClient client = server.connect();
    REQUIRE(client.send(post("/", std::string(1000, 'x'))));
    CHECK(client.reply().status == 200);
}

TEST_CASE("100-continue is sent before the body, and never for a head that is refused") {
    ServerLimits limits;
    limits.max_body = 10;
    TestServer server(echo, limits);
    RawClient client = server.connect();
    REQUIRE(client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"));
    const RawReply interim = client.reply();
    CHECK(interim.head == "HTTP/1.1 100 Continue\r\n\r\n");
    REQUIRE(client.send("abc"));
    CHECK(client.reply().body == "POST / abc");
    REQUIRE(client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n"));
    CHECK(client.reply().status == 413);
}

TEST_CASE("a slow client holds no worker") {
    ServerLimits limits;
    limits.workers = 1;
    TestServer server(echo, limits);
    RawClient slow_head = server.connect();
    RawClient slow_body = server.connect();
    REQUIRE(slow_head.send("GET / HT"));
    REQUIRE(slow_body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na"));
    RawClient quick = server.connect();
    REQUIRE(quick.send(get("/quick")));
    CHECK(quick.reply().body == "GET /quick ");
    REQUIRE(slow_body.send("b"));
    CHECK(slow_body.reply().body == "POST / ab");
    REQUIRE(slow_head.send("TP/1.1\r\nHost: h\r\n\r\n"));
    CHECK(slow_head.reply().body == "GET / ");
}

TEST_CASE("an idle connection is closed silently, a slow head or body is answered 408") {
    ServerLimits limits;
    limits.idle_timeout = std::chrono::milliseconds(50);
    limits.head_timeout = std::chrono::milliseconds(100);
    limits.body_timeout = std::chrono::milliseconds(150);
    TestServer server(echo, limits);
    RawClient idle = server.connect();
    RawClient slow_head = server.connect();
    RawClient slow_body = server.connect();
    REQUIRE(slow_head.send("GET / HTTP/1.1\r\n"));
    REQUIRE(slow_body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na"));
    bool end = false;
    CHECK(idle.rest(&end).empty());
    CHECK(end);
    CHECK(slow_head.reply().body == "request_timeout");
    const RawReply reply = slow_body.reply();
    CHECK(reply.status == 408);
    CHECK(has(reply.head, "Connection: close\r\n"));
}

TEST_CASE("bytes that trickle in do not prolong the head's time") {
    ServerLimits limits;
    limits.head_timeout = std::chrono::milliseconds(300);
    TestServer server(echo, limits);
    RawClient client = server.connect();
    REQUIRE(client.send("GET / HTTP/1.1\r\nX: "));
    CHECK(mt::test::eventually([&client] { return client.readable() || !client.send("X"); }));
    CHECK(client.reply().status == 408);
}

TEST_CASE("a kept connection is idle anew after each reply") {
    ServerLimits limits;
    limits.idle_timeout = std::chrono::milliseconds(50);
    TestServer server(echo, limits);
    RawClient client = server.connect();
    REQUIRE(client.send(get("/")));
    CHECK(client.reply().status == 200);
    CHECK(client.closed_by_server());
}

TEST_CASE("requests past the cap in flight get 503 and keep their connection") {
    ServerLimits limits;
    limits.workers = 1;
    limits.max_in_flight = 2;
    Event entered;
    Event go_on;
    TestServer server(
        [&](const Request& request, Responder& responder) {
            entered.set();
            go_on.wait();
            responder.send({.body = request.path});
        },
        limits);
    RawClient working = server.connect();
    REQUIRE(working.send(get("/block")));
    REQUIRE(entered.wait());
    RawClient clients[3]{server.connect(), server.connect(), server.connect()};
    for (const RawClient& client : clients) {
        REQUIRE(client.send(get("/queued")));
    }
    // One of the three is in flight, too; the others are told so at once, on a connection that lives on.
    REQUIRE(clients[2].send("HEAD /more HTTP/1.1\r\nHost: h\r\n\r\n"));
    int refused = 0;
    for (int i = 1; i < 3; ++i) {
        const RawReply reply = clients[i].reply();
        refused += reply.status == 503 && reply.body == "busy" ? 1 : 0;
        CHECK_FALSE(has(reply.head, "Connection:"));
    }
    const RawReply head = clients[2].reply(true);
    CHECK(head.status == 503);
    CHECK(clients[2].surplus().empty());
    go_on.set();
    CHECK(working.reply().body == "/block");
    CHECK(clients[0].reply().body == "/queued");
    REQUIRE(clients[2].send(get("/again")));
    CHECK(clients[2].reply().body == "/again");
    CHECK(refused == 2);
}
