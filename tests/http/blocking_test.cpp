#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/blocking.h"
#include "http/server.h"
#include "http/test_server.h"

namespace {

using mt::BlockingRegion;
using mt::Result;
using mt::http::Request;
using mt::http::Responder;
using mt::http::ServerLimits;
using mt::test::Event;
using mt::test::eventually;
using mt::test::get;
using mt::test::has;
using mt::test::post;
using mt::test::RawClient;
using mt::test::RawReply;
using mt::test::TestServer;

std::size_t resident_kib() {
    std::ifstream status("/proc/self/status");
    std::size_t kib = 0;
    for (std::string name; status >> name;) {
        if (name == "VmRSS:") {
            status >> kib;
        }
    }
    return kib;
}

ServerLimits one_worker() {
    ServerLimits limits;
    limits.workers = 1;
    return limits;
}

}  // namespace

TEST_CASE("handlers that wait in a region let others be answered, however many they are") {
    Event go_on;
    std::atomic<int> waiting{0};
    TestServer server(
        [&](const Request& request, Responder& responder) {
            if (request.path == "/wait") {
                const Result<BlockingRegion> region = BlockingRegion::enter();
                CHECK(region);
                waiting.fetch_add(1);
                go_on.wait();
            }
            responder.send({.body = request.path});
        },
        one_worker());
    std::vector<RawClient> stalled;
    for (int i = 0; i < 100; ++i) {
        stalled.push_back(server.connect());
        REQUIRE(stalled.back().send(get("/wait")));
    }
    RawClient quick = server.connect();
    REQUIRE(quick.send(get("/quick")));
    CHECK(quick.reply().body == "/quick");
    CHECK(eventually([&] { return waiting.load() == 100; }));
    go_on.set();
    for (RawClient& client : stalled) {
        CHECK(client.reply().body == "/wait");
        REQUIRE(client.send(get("/again")));
        CHECK(client.reply().body == "/again");
    }
}

TEST_CASE("a handler that waits without saying so loses its seat to the watchdog") {
    Event go_on;
    TestServer server(
        [&](const Request& request, Responder& responder) {
            if (request.path == "/wait") {
                go_on.wait();
            }
            responder.send({.body = request.path});
        },
        one_worker());
    std::vector<RawClient> stalled;
    for (int i = 0; i < 5; ++i) {
        stalled.push_back(server.connect());
        REQUIRE(stalled.back().send(get("/wait")));
    }
    RawClient quick = server.connect();
    REQUIRE(quick.send(get("/quick")));
    CHECK(quick.reply().body == "/quick");
    go_on.set();
    for (RawClient& client : stalled) {
        CHECK(client.reply().body == "/wait");
    }
}

TEST_CASE("past max_blocking a region is refused, with a time to come back") {
    ServerLimits limits = one_worker();
    limits.max_blocking = 2;
    Event go_on;
    std::atomic<int> waiting{0};
    TestServer server(
        [&](const Request&, Responder& responder) {
            const Result<BlockingRegion> region = BlockingRegion::enter();
            if (!region) {
                CHECK(region.error().code == mt::Code::busy);
                CHECK(region.error().reason == "blocking");
                CHECK(region.error().retry_after.has_value());
                return responder.send({.status = 503});
            }
            const Result<BlockingRegion> inner = BlockingRegion::enter();  // costs no second place
            CHECK(inner);
            waiting.fetch_add(1);
            go_on.wait();
            responder.send({});
        },
        limits);
    RawClient first = server.connect();
    RawClient second = server.connect();
    REQUIRE(first.send(get("/")));
    REQUIRE(second.send(get("/")));
    REQUIRE(eventually([&] { return waiting.load() == 2; }));
    RawClient third = server.connect();
    REQUIRE(third.send(get("/")));
    CHECK(third.reply().status == 503);
    go_on.set();
    CHECK(first.reply().status == 200);
    CHECK(second.reply().status == 200);
    REQUIRE(third.send(get("/")));
    CHECK(third.reply().status == 200);
}

TEST_CASE("urgent requests overtake the others and pass the cap") {
    ServerLimits limits = one_worker();
    limits.max_blocking = 0;  // nobody takes the seat: what comes meanwhile is read together afterwards
    limits.max_in_flight = 3;
    Event entered;
    Event go_on;
    std::mutex mutex;
    std::string order;
    mt::Log log(mt::LogLevel::off);
    mt::http::Server server({[&](const Request& request, Responder& responder) {
                                 if (request.path == "/first") {
                                     entered.set();
                                     go_on.wait();
                                 }
                                 const std::lock_guard lock(mutex);
                                 order += request.path;
                                 responder.send({.body = request.path});
                             },
                             TestServer::encode,
                             {},
                             [](const Request& request) { return request.path == "/urgent"; }},
                            limits, log);
    const auto address = server.start({"127.0.0.1", 0, ""});
    REQUIRE(address);
    RawClient first(*address);
    REQUIRE(first.send(get("/first")));
    REQUIRE(entered.wait());
    std::vector<RawClient> others;
    for (const char* target : {"/a", "/a", "/a", "/a", "/a", "/urgent"}) {
        others.emplace_back(*address);
        REQUIRE(others.back().send(get(target)));
    }
    REQUIRE(eventually([&] { return server.connections() == 7; }));  // so that all are read together
    go_on.set();
    CHECK(others.back().reply().body == "/urgent");
    int served = 0;
    for (int i = 0; i < 5; ++i) {
        served += others[static_cast<std::size_t>(i)].reply().status == 200 ? 1 : 0;
    }
    CHECK(served >= 3);
    const std::lock_guard lock(mutex);
    CHECK(has(order, "/first/urgent"));
}

TEST_CASE("a request that has waited too long for its turn gets 503") {
    ServerLimits limits = one_worker();
    limits.max_blocking = 0;
    limits.queue_timeout = std::chrono::milliseconds(50);
    Event entered;
    Event go_on;
    std::atomic<int> number{0};
    TestServer server(
        [&](const Request&, Responder& responder) {
            const int mine = number.fetch_add(1);
            if (mine == 0) {
                entered.set();
                go_on.wait();
            } else if (mine == 1) {
                const auto start = std::chrono::steady_clock::now();
                CHECK(eventually([&] { return std::chrono::steady_clock::now() - start > 2 * limits.queue_timeout; }));
            }
            responder.send({});
        },
        limits);
    RawClient first = server.connect();
    REQUIRE(first.send(get("/")));
    REQUIRE(entered.wait());
    RawClient second = server.connect();
    RawClient third = server.connect();
    REQUIRE(second.send(get("/")));
    REQUIRE(third.send(get("/")));
    REQUIRE(eventually([&] { return server.server().connections() == 3; }));  // so that both are read together
    go_on.set();
    const int one = second.reply().status;
    const int other = third.reply().status;
    CHECK(one + other == 200 + 503);
}

TEST_CASE("clients that do not read their replies hold no thread") {
    ServerLimits limits = one_worker();
    limits.max_blocking = 0;
    const std::string large(16UL * 1024 * 1024, 'x');
    TestServer server(
        [&large](const Request& request, Responder& responder) {
            responder.send({.body = request.path == "/large" ? large : "quick"});
        },
        limits);
    std::vector<RawClient> lazy;
    for (int i = 0; i < 3; ++i) {
        lazy.push_back(server.connect());
        REQUIRE(lazy.back().send(get("/large")));
    }
    RawClient quick = server.connect();
    REQUIRE(quick.send(get("/quick")));
    CHECK(quick.reply().body == "quick");
    for (RawClient& client : lazy) {
        CHECK(client.reply().body.size() == large.size());
        REQUIRE(client.send(get("/quick")));
        CHECK(client.reply().body == "quick");
    }
}

TEST_CASE("a complete reply that nobody reads is given up after the write timeout") {
    ServerLimits limits = one_worker();
    limits.write_timeout = std::chrono::milliseconds(200);
    const std::string large(16UL * 1024 * 1024, 'x');
    TestServer server([&large](const Request&, Responder& responder) { responder.send({.body = large}); }, limits);
    RawClient lazy = server.connect();
    REQUIRE(lazy.send(get("/")));
    CHECK(eventually([&] { return server.server().connections() == 1; }));
    CHECK(eventually([&] { return server.server().connections() == 0; }));
}

TEST_CASE("a stream keeps little for a client that does not read, and others are answered meanwhile") {
    ServerLimits limits = one_worker();
    limits.write_timeout = std::chrono::seconds(5);
    std::atomic<std::size_t> accepted{0};
    TestServer server(
        [&](const Request& request, Responder& responder) {
            if (request.path == "/quick") {
                return responder.send({.body = "quick"});
            }
            mt::http::StreamWriter& writer = responder.start_stream({});
            const std::string piece(16UL * 1024, 'x');
            while (writer.write(piece)) {
                accepted.fetch_add(piece.size());
            }
        },
        limits);
    RawClient lazy = server.connect();
    REQUIRE(lazy.send(get("/stream")));
    std::size_t before = 0;
    // Full: nothing more is accepted while another client is served fifty times.
    CHECK(eventually([&] {
        before = accepted.load();
        for (int i = 0; i < 50; ++i) {
            RawClient quick = server.connect();
            REQUIRE(quick.send(get("/quick")));
            REQUIRE(quick.reply().body == "quick");
        }
        return before > 0 && accepted.load() == before;
    }));
    // What the two sockets hold; without the bound a sending socket grows to megabytes.
    CHECK(before < 4 * limits.max_stream_buffer);
}

TEST_CASE("the memory for unanswered requests is bounded over all connections") {
    ServerLimits limits = one_worker();
    limits.max_buffered = 260'000;  // a growing string may take twice its size
    TestServer server([](const Request&, Responder& responder) { responder.send({}); }, limits);
    const std::string part = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 120100\r\n\r\n" + std::string(120'000, 'x');
    const std::string rest(100, 'x');
    std::vector<RawClient> clients;
    for (int i = 0; i < 3; ++i) {
        clients.push_back(server.connect());
        REQUIRE(clients.back().send(part));
    }
    const auto is_refused = [](const RawClient& client) { return client.readable(); };
    CHECK(eventually([&] { return std::any_of(clients.begin(), clients.end(), is_refused); }));
    RawClient modest = server.connect();
    REQUIRE(modest.send(post("/", std::string(60'000, 'x'))));
    CHECK(modest.reply().status == 200);  // it did not fill the memory
    int refused = 0;
    for (RawClient& client : clients) {
        client.send(rest);
        const RawReply reply = client.reply();
        refused += reply.status == 503 && has(reply.head, "Connection: close\r\n") ? 1 : 0;
        CHECK((reply.status == 503 || reply.status == 200));
    }
    CHECK(refused >= 1);
    CHECK(refused < 3);
    RawClient later = server.connect();  // the places are free again
    REQUIRE(later.send(part + rest));
    CHECK(later.reply().status == 200);
}

TEST_CASE("an idle connection keeps none of the memory of its earlier requests and replies") {
    const std::size_t before = resident_kib();
    ServerLimits limits = one_worker();
    limits.max_body = 4UL * 1024 * 1024;
    TestServer server([](const Request&, Responder& responder) { responder.send({}); }, limits);
    std::vector<RawClient> idle;
    for (int i = 0; i < 100; ++i) {
        idle.push_back(server.connect());
        REQUIRE(idle.back().send(post("/", std::string(limits.max_body, 'x'))));
        REQUIRE(idle.back().reply().status == 200);
    }
    CHECK(resident_kib() < before + 100UL * 1024);  // of 400 MB that came
}

TEST_CASE("a flood of urgent requests leaves turns to the others") {
    ServerLimits limits = one_worker();
    mt::Log log(mt::LogLevel::off);
    std::atomic<bool> ordinary{false};
    mt::http::Server server({[&](const Request& request, Responder& responder) {
                                 ordinary = ordinary || request.path == "/ordinary";
                                 responder.send({});
                             },
                             TestServer::encode,
                             {},
                             [](const Request& request) { return request.path == "/urgent"; }},
                            limits, log);
    const auto address = server.start({"127.0.0.1", 0, ""});
    REQUIRE(address);
    std::string flood;
    for (int i = 0; i < 100; ++i) {
        flood += get("/urgent");
    }
    std::atomic<bool> over{false};
    std::vector<std::jthread> clients;
    for (int c = 0; c < 3; ++c) {
        clients.emplace_back([&] {
            RawClient client(*address);
            while (!over && client.send(flood)) {
                for (int i = 0; i < 100; ++i) {
                    client.reply();
                }
            }
        });
    }
    RawClient client(*address);
    for (int i = 0; i < 100; ++i) {
        REQUIRE(client.send(get("/ordinary")));
        CHECK(client.reply().status == 200);
    }
    over = true;
    CHECK(ordinary);
}
