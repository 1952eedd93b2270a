#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "http/server.h"
#include "http/test_server.h"

namespace {

using mt::http::Request;
using mt::http::Responder;
using mt::test::Event;
using mt::test::get;
using mt::test::has;
using mt::test::RawClient;
using mt::test::RawReply;
using mt::test::TestServer;

}  // namespace

TEST_CASE("a drain finishes requests in flight, closes idle connections and takes no new ones") {
    Event entered;
    Event go_on;
    std::atomic<bool> stopped{false};
    TestServer server([&](const Request& request, Responder& responder) {
        if (request.path == "/quick") {
            return responder.send({});
        }
        entered.set();
        go_on.wait();
        stopped = stopped || responder.stop_token().stop_requested();
        responder.send({.body = "done"});
    });
    RawClient idle = server.connect();
    REQUIRE(idle.send(get("/quick")));
    REQUIRE(idle.reply().status == 200);
    RawClient reading = server.connect();
    REQUIRE(reading.send("GET / HTTP/1.1\r\n"));
    RawClient working = server.connect();
    REQUIRE(working.send(get("/")));
    REQUIRE(entered.wait());
    std::jthread stopper([&server] { server.server().stop(std::chrono::seconds(10)); });
    bool end = false;
    CHECK(idle.rest(&end).empty());
    CHECK(end);
    REQUIRE(reading.send("Host: h\r\n\r\n"));
    go_on.set();
    const RawReply reply = working.reply();
    CHECK(reply.body == "done");
    CHECK(has(reply.head, "Connection: close\r\n"));
    CHECK_FALSE(stopped);
    working.leave();
    CHECK(reading.reply().body == "done");
    reading.leave();
    CHECK(mt::test::eventually([&server] { return !RawClient(server.address()).connected(); }));
    stopper.join();
    CHECK(server.server().connections() == 0);
}

TEST_CASE("a drain that runs out of time stops the tokens and cuts what is still being read") {
    Event entered;
    bool stopped = false;
    TestServer server([&](const Request&, Responder& responder) {
        entered.set();
        std::mutex mutex;
        std::condition_variable_any changed;
        std::unique_lock lock(mutex);
        changed.wait_for(lock, responder.stop_token(), std::chrono::seconds(10), [] { return false; });
        stopped = responder.stop_token().stop_requested();
        responder.send({.body = "stopped"});
    });
    RawClient reading = server.connect();
    REQUIRE(reading.send("GET / HTTP/1.1\r\n"));
    RawClient working = server.connect();
    REQUIRE(working.send(get("/")));
    REQUIRE(entered.wait());
    server.server().stop(std::chrono::milliseconds(20));
    CHECK(stopped);
    CHECK(working.reply().body == "stopped");
    CHECK(reading.closed_by_server());
}

TEST_CASE("a drain that runs out of time does not wait for a client that does not read") {
    mt::http::ServerLimits limits;
    limits.write_timeout = std::chrono::minutes(10);
    Event writing;
    TestServer server(
        [&writing](const Request&, Responder& responder) {
            auto& writer = responder.start_stream({});
            const std::string piece(1024UL * 1024, 'x');
            writing.set();
            while (writer.write(piece)) {
            }
        },
        limits);
    RawClient client = server.connect();
    REQUIRE(client.send(get("/")));
    REQUIRE(writing.wait());
    server.server().stop(std::chrono::milliseconds(0));
    CHECK(server.server().connections() == 0);
}

TEST_CASE("a request that is already in the socket when the drain begins is answered") {
    TestServer server([](const Request&, Responder& responder) { responder.send({.body = "late"}); });
    std::vector<RawClient> clients;
    clients.reserve(50);
    for (int i = 0; i < 50; ++i) {
        clients.push_back(server.connect());
        REQUIRE(clients.back().send(get("/")));
    }
    std::jthread stopper([&server] { server.server().stop(std::chrono::seconds(10)); });
    for (RawClient& client : clients) {
        CHECK(client.reply().body == "late");
        client.leave();
    }
}

TEST_CASE("a client that waits in the backlog when the drain begins is answered") {
    Event stalled;
    Event go_on;
    Event stopping;
    mt::Log log(mt::LogLevel::off);
    // The encoder runs where connections are accepted, so it can hold that up.
    mt::http::Server server({[](const Request&, Responder& responder) { responder.send({.body = "just in time"}); },
                             [&](const mt::Error& error) {
                                 stalled.set();
                                 go_on.wait();
                                 return TestServer::encode(error);
                             }},
                            {}, log);
    const auto address = server.start({"127.0.0.1", 0, ""});
    REQUIRE(address);
    RawClient refused(*address);
    REQUIRE(refused.send("nonsense\r\n\r\n"));
    REQUIRE(stalled.wait());
    RawClient client(*address);
    REQUIRE(client.send(get("/")));
    const std::jthread stopper([&] {
        stopping.set();
        server.stop(std::chrono::seconds(10));
    });
    REQUIRE(stopping.wait());
    go_on.set();
    CHECK(client.reply().body == "just in time");
    client.leave();
    refused.leave();
}

TEST_CASE("a request that does not come to its end during a drain is told why") {
    TestServer server([](const Request&, Responder& responder) { responder.send({}); });
    RawClient half = server.connect();
    REQUIRE(half.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na"));
    RawClient fresh = server.connect();
    REQUIRE(mt::test::eventually([&server] { return server.server().connections() == 2; }));
    std::jthread stopper([&server] { server.server().stop(std::chrono::seconds(10)); });
    const RawReply reply = half.reply();
    CHECK(reply.status == 503);
    CHECK(has(reply.head, "Connection: close\r\n"));
    half.leave();
    CHECK(fresh.rest().empty());
}

TEST_CASE("stop may be called twice, and without a start") {
    mt::Log log(mt::LogLevel::off);
    mt::http::Server never({[](const Request&, Responder&) {}, TestServer::encode}, {}, log);
    never.stop(std::chrono::seconds(1));
    CHECK(never.connections() == 0);
    TestServer server([](const Request&, Responder& responder) { responder.send({}); });
    server.server().stop(std::chrono::seconds(1));
    server.server().stop(std::chrono::seconds(1));
    CHECK_FALSE(RawClient(server.address()).connected());
}
