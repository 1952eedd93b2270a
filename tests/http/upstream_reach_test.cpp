// How a server is reached, and how long it is waited for.
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/blocking.h"
#include "http/upstream_kit.h"
#include "support/chat_scripts.h"
#include "support/temp_folder.h"

namespace {

using mt::Code;
using mt::Context;
using mt::Error;
using mt::Result;
using mt::http::Request;
using mt::http::Responder;
using mt::http::Upstream;
using mt::http::UpstreamOptions;
using mt::http::UpstreamReply;
using mt::test::ask;
using mt::test::code_of;
using mt::test::in;
using mt::test::k_long;
using mt::test::Latch;
using mt::test::milliseconds;
using mt::test::Outcome;
using mt::test::Recorded;
using mt::test::ScriptedReply;
using mt::test::ScriptedUpstream;
using mt::test::url_to;

// A port where nobody listens.
int free_port() {
    return mt::http::Listener::open({"127.0.0.1", 0, ""})->address().port;
}

UpstreamOptions public_only(const std::vector<std::string>& exceptions = {}) {
    UpstreamOptions options;
    options.rule = {true, *mt::Networks::parse(exceptions)};
    return options;
}

}  // namespace

TEST_CASE("no connection is told apart from no answer") {
    Upstream nobody(url_to(free_port()), {});
    const Outcome refused = ask(nobody);
    CHECK(code_of(refused) == Code::unavailable);
    CHECK(refused.error->reason == "connect");
    CHECK(refused.error->message == "cannot connect to " + nobody.name() + ": Connection refused");

    const mt::test::DeafPort full(true);
    UpstreamOptions hasty;
    hasty.connect_timeout = milliseconds(50);
    Upstream blackhole(url_to(full.port()), hasty);
    const Outcome late = ask(blackhole);
    CHECK(code_of(late) == Code::timeout);
    CHECK(late.error->reason == "connect");
    CHECK(late.error->message == "no connection to " + blackhole.name() + " within 50ms");
    const Outcome later = ask(blackhole, {}, {}, milliseconds(20));
    CHECK(code_of(later) == Code::timeout);
    CHECK(later.error->reason == "connect");
    CHECK(later.error->message == "no connection to " + blackhole.name() + " in time");

    ScriptedUpstream silent(mt::test::keep_silent);
    Upstream upstream(url_to(silent.port()), {});
    const Outcome quiet = ask(upstream, {}, {}, milliseconds(50));
    CHECK(code_of(quiet) == Code::timeout);
    CHECK(quiet.error->reason.empty());
    Context context;
    context.deadline_ns = in(milliseconds(50));
    CHECK(code_of(ask(upstream, {}, context)) == Code::timeout);
}

TEST_CASE("a stalled body is a timeout, after which reading can go on") {
    Latch go_on;
    ScriptedUpstream server(mt::test::stalled_stream({}, go_on, {"text"}));
    Upstream upstream(url_to(server.port()), {});
    Result<UpstreamReply> reply = upstream.send({}, {}, in(k_long));
    REQUIRE(reply);
    const Result<std::string_view> nothing = reply->read({}, in(milliseconds(30)));
    REQUIRE_FALSE(nothing);
    CHECK(nothing.error().code == Code::timeout);
    CHECK(nothing.error().reason.empty());
    go_on.open();
    const Result<std::string> rest = reply->read_all({}, in(k_long), 1UL << 20U);
    REQUIRE(rest);
    CHECK(rest->find("[DONE]") != std::string::npos);
}

TEST_CASE("a server that never pauses is stopped by the deadline") {
    ScriptedUpstream server([](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        while (out.event("more")) {
        }
    });
    Upstream upstream(url_to(server.port()), {});
    const Outcome endless = ask(upstream, {}, {}, milliseconds(50));
    CHECK(endless.status == 200);
    CHECK(code_of(endless) == Code::timeout);
    CHECK(server.wait_for_departures(1));
    const Outcome late = ask(upstream, {}, {}, milliseconds(0));
    CHECK(code_of(late) == Code::timeout);
    CHECK(late.error->reason == "connect");
    CHECK(server.request_count() == 1);
}

TEST_CASE("the rule keeps requests from addresses inside, whatever they are called") {
    ScriptedUpstream server(mt::test::reply_with("inside"));
    const std::string port = std::to_string(server.port());
    for (const char* host : {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "127.1", "0.0.0.0"}) {
        CAPTURE(host);
        Upstream upstream(*mt::http::parse_url("http://" + std::string(host) + ":" + port), public_only());
        const Outcome outcome = ask(upstream);
        CHECK(code_of(outcome) == Code::forbidden);
        CHECK(outcome.error->reason == "address");
    }
    CHECK(server.connections() == 0);
    for (const char* host : {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"}) {
        CAPTURE(host);
        Upstream upstream(*mt::http::parse_url("http://" + std::string(host) + ":" + port),
                          public_only({"127.0.0.0/8"}));
        CHECK(ask(upstream).body == "inside");
    }
}

TEST_CASE("names are resolved, and each of their addresses is tried") {
    ScriptedUpstream server(mt::test::reply_with("found"));  // on IPv4 alone, localhost may be both
    Upstream upstream(url_to(server.port(), "http://localhost:"), {});
    CHECK(ask(upstream).body == "found");
    CHECK(server.requests().at(0).field("Host") == "localhost:" + std::to_string(server.port()));
    Upstream unknown(*mt::http::parse_url("http://no-such-host.invalid/"), {});
    const Outcome outcome = ask(unknown);
    CHECK(code_of(outcome) == Code::unavailable);
    CHECK(outcome.error->reason == "connect");
}

TEST_CASE("unix sockets are spoken to, unless only public addresses are") {
    const mt::test::TempFolder folder;
    const std::string path = folder.path() / "socket";
    mt::test::TestServer server([](const Request& request, Responder& out) { out.send({.body = request.body}); }, {},
                                {"", 0, path});
    const auto url = mt::http::parse_url("unix:" + path);
    Upstream upstream(*url, {});
    CHECK(ask(upstream, {"POST", "/", {}, "echo"}).body == "echo");
    CHECK(ask(upstream, {"POST", "/", {}, "again"}).body == "again");
    CHECK(server.server().connections() == 1);
    Upstream strict(*url, public_only());
    CHECK(code_of(ask(strict)) == Code::forbidden);
    Upstream excepted(*url, public_only({"unix"}));
    CHECK(ask(excepted, {"POST", "/", {}, "yes"}).body == "yes");
    Upstream missing(mt::http::Url{"", 0, "/", "/nonexistent/socket"}, {});
    CHECK(code_of(ask(missing)) == Code::unavailable);
}

TEST_CASE("a unix socket with a full queue is waited for, in vain or not") {
    const mt::test::TempFolder folder;
    const std::string path = folder.path() / "socket";
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof(name.sun_path) - 1);
    const auto* address = static_cast<const sockaddr*>(static_cast<const void*>(&name));
    const mt::http::UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(bind(listener.get(), address, sizeof(name)) == 0);
    REQUIRE(listen(listener.get(), 0) == 0);
    const mt::http::UniqueFd first(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(connect(first.get(), address, sizeof(name)) == 0);
    Upstream upstream(*mt::http::parse_url("unix:" + path), {});
    const Outcome late = ask(upstream, {}, {}, milliseconds(30));
    CHECK(code_of(late) == Code::timeout);
    CHECK(late.error->reason == "connect");
    std::jthread server([&] {
        const mt::http::UniqueFd gone(accept(listener.get(), nullptr, nullptr));
        const mt::http::UniqueFd fd(accept(listener.get(), nullptr, nullptr));
        const std::string_view reply = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
        send(fd.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
        pollfd waiting{fd.get(), POLLRDHUP, 0};
        poll(&waiting, 1, 10'000);
    });
    CHECK(ask(upstream, {"GET", "/", {{"Connection", "close"}}}).body == "x");
}

TEST_CASE("a request that waits is a blocking region once per call, one that need not wait is none") {
    struct Counter final : mt::Blocker {
        explicit Counter(Latch& opened) : latch(opened) {}
        Result<void> enter() override {
            ++entered;
            latch.open();  // the answer comes because somebody waits for it
            return full ? Result<void>(Error{Code::busy, "full"}) : Result<void>();
        }
        void leave() override { ++left; }
        Latch& latch;
        int entered = 0;
        int left = 0;
        bool full = false;
    };
    Latch answer;
    ScriptedUpstream server(mt::test::after(answer, mt::test::reply_with("x")));
    Upstream upstream(url_to(server.port()), {});
    Counter counter(answer);
    const mt::BlockerScope scope(counter);
    Result<UpstreamReply> reply = upstream.send({}, {}, in(k_long));
    REQUIRE(reply);
    CHECK(counter.entered == 1);
    CHECK(counter.left == 1);
    CHECK(*reply->read({}, in(k_long)) == "x");  // came with the head
    CHECK(reply->read({}, in(k_long))->empty());
    CHECK(counter.entered == 1);
    counter.full = true;
    server.set_script(mt::test::keep_silent);
    CHECK(code_of(ask(upstream)) == Code::busy);
    CHECK(counter.left == 1);
}

TEST_CASE("the idle hook is called while a request waits, by its own thread") {
    Latch answer;
    struct Hook final : mt::IdleHook {
        explicit Hook(Latch& opened) : latch(opened) {}
        void on_idle() override {
            ++calls;
            thread = std::this_thread::get_id();
            latch.open();  // the answer comes because of the second's silence
        }
        Latch& latch;
        int calls = 0;
        std::thread::id thread{};
    };
    ScriptedUpstream server(mt::test::after(answer, mt::test::reply_with("x")));
    Upstream upstream(url_to(server.port()), {});
    Hook hook(answer);
    Context context;
    context.idle = &hook;
    CHECK(ask(upstream, {}, context).body == "x");
    CHECK(hook.calls == 1);
    CHECK(hook.thread == std::this_thread::get_id());
}
