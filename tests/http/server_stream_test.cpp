#include <doctest/doctest.h>

#include <condition_variable>
#include <mutex>
#include <string>

#include "http/server.h"
#include "http/test_server.h"

namespace {

using mt::http::Request;
using mt::http::Responder;
using mt::http::Response;
using mt::http::ServerLimits;
using mt::http::StreamWriter;
using mt::test::Event;
using mt::test::get;
using mt::test::has;
using mt::test::RawClient;
using mt::test::RawReply;
using mt::test::TestServer;

// Blocks until the token stops, some seconds at most; true: it did.
bool wait_for_stop(const std::stop_token& token) {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::unique_lock lock(mutex);
    changed.wait_for(lock, token, std::chrono::seconds(10), [] { return false; });
    return token.stop_requested();
}

}  // namespace

TEST_CASE("every piece of a stream is flushed before the next one is written") {
    Event first_read;
    TestServer server([&first_read](const Request&, Responder& responder) {
        StreamWriter& writer = responder.start_stream({.content_type = "text/event-stream", .fields = {{"X-A", "b"}}});
        CHECK(writer.write("data: 1\n\n"));
        CHECK(first_read.wait());
        CHECK(writer.write(""));
        CHECK(writer.write("data: 2\n\n"));
        writer.finish();
        CHECK_FALSE(writer.write("too late"));
    });
    RawClient client = server.connect();
    REQUIRE(client.send(get("/") + get("/")));
    for (int i = 0; i < 2; ++i) {
        // The reply ends with finish() only, so the first piece must come out of the running stream.
        RawReply head = client.reply(true);
        CHECK(head.status == 200);
        CHECK(has(head.head, "Content-Type: text/event-stream\r\n"));
        CHECK(has(head.head, "X-A: b\r\n"));
        CHECK(has(head.head, "Transfer-Encoding: chunked\r\n"));
        CHECK_FALSE(has(head.head, "Content-Length"));
        CHECK_FALSE(has(head.head, "Connection"));
        CHECK(client.chunk() == "data: 1\n\n");
        first_read.set();
        CHECK(client.chunk() == "data: 2\n\n");
        CHECK(client.chunk().empty());
    }
    CHECK(client.surplus().empty());
}

TEST_CASE("HEAD on a stream gets its head and keeps the connection") {
    TestServer server([](const Request&, Responder& responder) {
        StreamWriter& writer = responder.start_stream({});
        CHECK(writer.write("never on the wire"));
        writer.finish();
    });
    RawClient client = server.connect();
    REQUIRE(client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK(client.reply(true).status == 200);
    REQUIRE(client.send("HEAD / HTTP/1.0\r\n\r\n"));
    CHECK(client.reply(true).status == 200);
    CHECK(client.rest().empty());
}

TEST_CASE("HTTP/1.0 gets a stream that ends with the connection") {
    TestServer server([](const Request& request, Responder& responder) {
        StreamWriter& writer = responder.start_stream({});
        writer.write("one ");
        writer.write("two");
        if (request.path == "/whole") {
            writer.finish();
        }
    });
    RawClient whole = server.connect();
    REQUIRE(whole.send("GET /whole HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    const RawReply head = whole.reply(true);
    CHECK_FALSE(has(head.head, "Transfer-Encoding"));
    CHECK(has(head.head, "Connection: close\r\n"));
    bool end = false;
    CHECK(whole.rest(&end) == "one two");
    CHECK(end);

    RawClient cut = server.connect();
    REQUIRE(cut.send("GET /cut HTTP/1.0\r\n\r\n"));
    cut.rest(&end);
    CHECK_FALSE(end);  // a reset, not an orderly end
}

TEST_CASE("a stream that is not finished is seen to be cut") {
    TestServer server([](const Request& request, Responder& responder) {
        responder.start_stream({}).write("half");
        if (request.path == "/throw") {
            throw 1;  // NOLINT(misc-throw-by-value-catch-by-reference)
        }
    });
    for (const char* target : {"/", "/throw"}) {
        RawClient client = server.connect();
        REQUIRE(client.send(get(target)));
        const RawReply reply = client.reply();
        CHECK(reply.status == 200);
        CHECK(reply.body == "half");
        CHECK_FALSE(reply.whole);
        CHECK(client.closed_by_server());
    }
}

TEST_CASE("a client that leaves stops the request that it waits for") {
    Event entered;
    Event stopped;
    bool wrote = true;
    TestServer server([&](const Request&, Responder& responder) {
        StreamWriter& writer = responder.start_stream({});
        entered.set();
        if (wait_for_stop(responder.stop_token())) {
            wrote = writer.write("anybody there?");
            stopped.set();
        }
    });
    RawClient client = server.connect();
    REQUIRE(client.send(get("/")));
    REQUIRE(entered.wait());
    client.leave();
    CHECK(stopped.wait());
    CHECK(mt::test::eventually([&server] { return server.server().connections() == 0; }));
    CHECK_FALSE(wrote);
}

TEST_CASE("a client that leaves with pipelined bytes unread stops its request, too") {
    Event entered;
    Event stopped;
    TestServer server([&](const Request&, Responder& responder) {
        entered.set();
        if (wait_for_stop(responder.stop_token())) {
            stopped.set();
        }
        responder.send({});
    });
    RawClient client = server.connect();
    REQUIRE(client.send(get("/1") + "GET /2"));
    REQUIRE(entered.wait());
    REQUIRE(client.send(" HTTP/1.1\r\n"));
    client.leave();
    CHECK(stopped.wait());
}

TEST_CASE("the token of a request that ended does not stop the next one") {
    int number = 0;
    bool stopped = true;
    TestServer server([&](const Request&, Responder& responder) {
        ++number;
        stopped = responder.stop_token().stop_requested();
        responder.send({});
    });
    RawClient client = server.connect();
    for (int i = 1; i <= 3; ++i) {
        REQUIRE(client.send(get("/")));
        REQUIRE(client.reply().status == 200);
        CHECK(number == i);
        CHECK_FALSE(stopped);
    }
}

TEST_CASE("a client that does not read is given up after the write timeout") {
    ServerLimits limits;
    limits.write_timeout = std::chrono::milliseconds(200);
    Event given_up;
    TestServer server(
        [&given_up](const Request&, Responder& responder) {
            StreamWriter& writer = responder.start_stream({});
            const std::string piece(1024UL * 1024, 'x');
            for (int i = 0; i < 1000 && writer.write(piece); ++i) {
            }
            if (!writer.write("more")) {
                given_up.set();
            }
        },
        limits);
    RawClient client = server.connect();
    REQUIRE(client.send(get("/")));
    CHECK(given_up.wait());
    CHECK(client.closed_by_server());
}
