#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "http/upstream_kit.h"
#include "support/chat_scripts.h"

namespace {

using mt::Code;
using mt::Context;
using mt::Result;
using mt::http::Upstream;
using mt::http::UpstreamOptions;
using mt::http::UpstreamReply;
using mt::test::ask;
using mt::test::code_of;
using mt::test::eventually;
using mt::test::in;
using mt::test::k_long;
using mt::test::Latch;
using mt::test::milliseconds;
using mt::test::Recorded;
using mt::test::ScriptedReply;
using mt::test::ScriptedUpstream;
using mt::test::sequence;
using mt::test::url_to;

}  // namespace

TEST_CASE("requests share a connection that stays") {
    ScriptedUpstream server(mt::test::chat({"a", "b"}));
    Upstream upstream(url_to(server.port()), {});
    for (int i = 0; i < 20; ++i) {
        const std::string body = i % 2 == 0 ? R"({"stream": true})" : "{}";
        CHECK(ask(upstream, {"POST", "/", {}, body}).status == 200);
    }
    CHECK(server.connections() == 1);
    CHECK(server.request_count() == 20);
    CHECK(upstream.idle_connections() == 1);
}

TEST_CASE("a kept connection that the server has closed is replaced without anybody noticing") {
    ScriptedUpstream server(mt::test::reply_with("x"));
    Upstream upstream(url_to(server.port()), {});
    CHECK(ask(upstream).body == "x");
    server.close_idle();
    CHECK(server.wait_for_open(0));
    CHECK(ask(upstream).body == "x");
    CHECK(server.connections() == 2);
    CHECK(server.request_count() == 2);
}

TEST_CASE("one that the server closes only when the request arrives is replaced once, by a fresh one") {
    for (const bool with_reset : {false, true}) {
        CAPTURE(with_reset);
        // The second request of a connection is the one that finds it dead.
        std::atomic<int> last_connection{-1};
        ScriptedUpstream server([&](const Recorded& request, ScriptedReply& out) {
            if (last_connection.exchange(request.connection) == request.connection) {
                with_reset ? out.reset() : out.cut();
                return;
            }
            out.send(200, "x");
        });
        Upstream upstream(url_to(server.port()), {});
        for (int i = 0; i < 5; ++i) {
            CHECK(ask(upstream, {"POST", "/", {}, "body"}).body == "x");
        }
        CHECK(server.connections() == 5);
        CHECK(server.request_count() == 9);
    }
}

TEST_CASE("nothing is tried twice on a fresh connection, nor after a byte of the reply, nor after a timeout") {
    ScriptedUpstream server(mt::test::reply_with("x"));
    Upstream upstream(url_to(server.port()), {});
    server.set_script([](const Recorded&, ScriptedReply& out) { out.cut(); });
    CHECK(code_of(ask(upstream)) == Code::upstream);
    CHECK(server.request_count() == 1);

    server.set_script(mt::test::reply_with("x"));
    CHECK(ask(upstream).body == "x");
    server.set_script(mt::test::raw("H"));
    CHECK(code_of(ask(upstream)) == Code::upstream);
    CHECK(server.request_count() == 3);

    server.set_script(mt::test::reply_with("x"));
    CHECK(ask(upstream).body == "x");
    server.set_script(mt::test::keep_silent);
    CHECK(code_of(ask(upstream, {}, {}, milliseconds(30))) == Code::timeout);
    CHECK(server.request_count() == 5);
}

TEST_CASE("a connection is closed when it may not be used again") {
    struct Case {
        const char* what;
        mt::test::Script script;
        mt::http::Fields fields{};
        std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n";
    };
    const auto says = [](std::string bytes) {
        return [bytes = std::move(bytes)](const Recorded&, ScriptedReply& out) { out.raw(bytes); };
    };
    const std::vector<Case> cases{
        {"the server says so", says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")},
        {"HTTP/1.0", says("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx")},
        {"until close", mt::test::raw("HTTP/1.1 200 OK\r\n\r\nx")},
        {"bytes beyond the reply", says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n")},
        {"the client says so", mt::test::reply_with("x"), {{"Connection", "close"}}},
    };
    for (const Case& c : cases) {
        CAPTURE(c.what);
        ScriptedUpstream server(c.script);
        Upstream upstream(url_to(server.port()), {});
        CHECK(ask(upstream, {"GET", "/", c.fields}).body == "x");
        CHECK(upstream.idle_connections() == 0);
        CHECK(server.wait_for_open(0));
    }
}

TEST_CASE("bytes that come while nobody asked spoil a connection") {
    Latch go_on;
    Latch sent;
    ScriptedUpstream server([&](const Recorded& request, ScriptedReply& out) {
        out.send(200, "x");
        if (request.number == 0) {
            out.wait_for(go_on);
            out.raw("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
            sent.open();  // over loopback they have arrived by now
            out.keep_silent();
        }
    });
    Upstream upstream(url_to(server.port()), {});
    CHECK(ask(upstream).body == "x");
    CHECK(upstream.idle_connections() == 1);
    go_on.open();
    CHECK(sent.wait());
    CHECK(ask(upstream).body == "x");
    CHECK(server.connections() == 2);
    CHECK(server.wait_for_departures(1));
}

TEST_CASE("a reply that is not read to its end closes its connection, and the server notices") {
    Latch never;
    ScriptedUpstream server(mt::test::stalled_stream({"one"}, never, {"two"}));
    Upstream upstream(url_to(server.port()), {});
    {
        Result<UpstreamReply> reply = upstream.send({}, {}, in(k_long));
        REQUIRE(reply);
        CHECK(reply->read({}, in(k_long)));
    }
    CHECK(server.wait_for_departures(1));
    CHECK(upstream.idle_connections() == 0);
    {
        Result<UpstreamReply> first = upstream.send({}, {}, in(k_long));
        Result<UpstreamReply> second = upstream.send({}, {}, in(k_long));
        REQUIRE((first && second));
        *first = std::move(*second);
    }
    CHECK(server.wait_for_departures(3));
}

TEST_CASE("unused connections are bounded in number and age") {
    Latch answer;
    ScriptedUpstream server(mt::test::after(answer, mt::test::reply_with("x")));
    UpstreamOptions options;
    options.max_idle = 3;
    Upstream upstream(url_to(server.port()), options);
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&] { CHECK(ask(upstream).body == "x"); });
    }
    CHECK(server.wait_for_requests(8));
    answer.open();
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(upstream.idle_connections() == 3);
    CHECK(server.wait_for_open(3));

    options.idle_time = milliseconds(20);
    Upstream forgetful(url_to(server.port()), options);
    CHECK(ask(forgetful).body == "x");
    const std::size_t before = server.connections();
    CHECK(eventually([&] { return forgetful.idle_connections() == 0; }));
    CHECK(ask(forgetful).body == "x");
    CHECK(server.connections() == before + 1);
}

TEST_CASE("the latest connection is used first") {
    Latch both;
    ScriptedUpstream server(sequence({mt::test::after(both, mt::test::reply_with("x"))}));
    Upstream upstream(url_to(server.port()), {});
    std::thread other([&] { CHECK(ask(upstream).body == "x"); });
    CHECK(server.wait_for_requests(1));
    std::thread another([&] { CHECK(ask(upstream).body == "x"); });
    CHECK(server.wait_for_requests(2));
    both.open();
    other.join();
    another.join();
    REQUIRE(upstream.idle_connections() == 2);
    const int before = static_cast<int>(server.request_count());
    for (int i = 0; i < 5; ++i) {
        CHECK(ask(upstream).body == "x");
    }
    const std::vector<Recorded> requests = server.requests();
    for (int i = before; i < before + 5; ++i) {
        CHECK(requests.at(static_cast<std::size_t>(i)).connection == requests.back().connection);
    }
}

TEST_CASE("many threads share a pool, while connections die under them") {
    ScriptedUpstream server([](const Recorded& request, ScriptedReply& out) {
        const int n = request.number % 10;
        if (n == 3) {
            out.send(200, request.body, {{"Connection", "close"}});
            out.cut();
        } else if (n == 7) {
            out.start_stream();
            out.chunk(request.body);
            out.finish();
        } else {
            out.send(200, request.body);
        }
    });
    UpstreamOptions options;
    options.max_idle = 16;
    Upstream upstream(url_to(server.port()), options);
    constexpr int k_threads = 32;
    constexpr int k_requests = 50;
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < k_threads; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < k_requests; ++i) {
                const std::string body = std::to_string(t) + "/" + std::to_string(i);
                right += ask(upstream, {"POST", "/", {}, body}).body == body ? 1 : 0;
                if (t == 0 && i % 10 == 0) {
                    server.close_idle();
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(right == k_threads * k_requests);
    CHECK(upstream.idle_connections() <= options.max_idle);
}
