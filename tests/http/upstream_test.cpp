#include "http/upstream.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "http/event_stream.h"
#include "http/upstream_kit.h"
#include "support/chat_scripts.h"

namespace {

using namespace std::string_literals;
using mt::Code;
using mt::Result;
using mt::http::Upstream;
using mt::http::UpstreamReply;
using mt::http::UpstreamRequest;
using mt::test::ask;
using mt::test::code_of;
using mt::test::in;
using mt::test::k_long;
using mt::test::Latch;
using mt::test::Outcome;
using mt::test::raw;
using mt::test::Recorded;
using mt::test::ScriptedReply;
using mt::test::ScriptedUpstream;
using mt::test::url_to;

}  // namespace

TEST_CASE("a request goes out as it was meant, and its reply comes back") {
    ScriptedUpstream server([](const Recorded&, ScriptedReply& out) {
        out.send(201, "made", {{"X-Answer", "yes"}, {"Content-Type", "text/plain"}});
    });
    Upstream upstream(url_to(server.port()), {});
    CHECK(upstream.name() == "127.0.0.1:" + std::to_string(server.port()));
    UpstreamRequest request{"POST", "/v1/x?y=%zz", {{"Authorization", "Bearer k"}, {"X-Empty", ""}}, "the body"};
    Result<UpstreamReply> reply = upstream.send(request, {}, in(k_long));
    REQUIRE(reply);
    CHECK(reply->status() == 201);
    CHECK(reply->field("x-answer") == "yes");
    CHECK_FALSE(reply->field("x-other"));
    CHECK(*reply->read({}, in(k_long)) == "made");
    CHECK(reply->read({}, in(k_long))->empty());
    CHECK(reply->read({}, in(k_long))->empty());
    const Recorded seen = server.requests().at(0);
    CHECK(seen.method == "POST");
    CHECK(seen.target == "/v1/x?y=%zz");
    CHECK(seen.body == "the body");
    CHECK(seen.field("Host") == upstream.name());
    CHECK(seen.field("Content-Length") == "8");
    CHECK(seen.field("Authorization") == "Bearer k");
    CHECK(seen.fields.size() == 4);
}

TEST_CASE("only requests without content go without a length, and replies to HEAD have no body") {
    ScriptedUpstream server([](const Recorded& request, ScriptedReply& out) {
        request.method == "HEAD" ? out.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") : out.send(200, "x");
    });
    Upstream upstream(url_to(server.port()), {});
    for (const char* method : {"GET", "HEAD", "POST", "GET"}) {
        CHECK(ask(upstream, {method}).body == (std::string_view(method) == "HEAD" ? "" : "x"));
    }
    CHECK(server.requests().at(0).field("Content-Length").empty());
    CHECK(server.requests().at(1).field("Content-Length").empty());
    CHECK(server.requests().at(2).field("Content-Length") == "0");
    CHECK(server.connections() == 1);
}

TEST_CASE("what would be more than one request is refused before anything is sent, without telling secrets") {
    ScriptedUpstream server(mt::test::reply_with("x"));
    Upstream upstream(url_to(server.port()), {});
    const std::array<UpstreamRequest, 9> bad{{{"G T"},
                                              {"CONNECT"},
                                              {"GET", "/a b"},
                                              {"GET", "/\r\nX: y"},
                                              {"GET", "/", {{"X", "secret\r\nY: z"}}},
                                              {"GET", "/", {{"X:", "secret"}}},
                                              {"GET", "/", {{"host", "secret"}}},
                                              {"GET", "/", {{"Content-LENGTH", "5"}}},
                                              {"GET", "/", {{"Transfer-Encoding", "chunked"}}}}};
    for (const UpstreamRequest& request : bad) {
        const Outcome outcome = ask(upstream, request);
        CHECK(code_of(outcome) == Code::invalid);
        CHECK(outcome.error->message.find("secret") == std::string::npos);
    }
    CHECK(server.connections() == 0);
}

TEST_CASE("large bodies pass both ways, and a reply is read in pieces of 64 KiB at most") {
    const std::string upload(3'000'000, 'u');
    const std::string download(5'000'001, 'd');
    ScriptedUpstream server(mt::test::reply_with(download));
    Upstream upstream(url_to(server.port()), {});
    Result<UpstreamReply> reply = upstream.send({"POST", "/", {}, upload}, {}, in(k_long));
    REQUIRE(reply);
    std::size_t size = 0;
    for (auto piece = reply->read({}, in(k_long)); piece && !piece->empty(); piece = reply->read({}, in(k_long))) {
        CHECK(piece->size() <= 64UL * 1024);
        CHECK(piece->find_first_not_of('d') == std::string_view::npos);
        size += piece->size();
    }
    CHECK(size == download.size());
    CHECK(server.requests().at(0).body == upload);
}

TEST_CASE("a server may answer before it has read the request") {
    const auto server = mt::http::Listener::open({"127.0.0.1", 0, ""});
    REQUIRE(server);
    std::jthread early([&] {
        pollfd waiting{server->fd(), POLLIN, 0};
        poll(&waiting, 1, 10'000);
        const mt::http::UniqueFd fd(accept(server->fd(), nullptr, nullptr));
        const std::string reply = "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nless";
        send(fd.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
        waiting = {fd.get(), POLLRDHUP, 0};
        poll(&waiting, 1, 10'000);
    });
    Upstream upstream(url_to(server->address().port), {});
    const std::string upload(20'000'000, 'u');  // more than the kernel keeps for a server that does not read
    const Outcome outcome = ask(upstream, {"POST", "/", {}, upload});
    CHECK(outcome.status == 413);
    CHECK(outcome.body == "less");
    CHECK(upstream.idle_connections() == 0);
}

TEST_CASE("interim replies are skipped, but not without end") {
    const std::string hints = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    ScriptedUpstream server([&](const Recorded& request, ScriptedReply& out) {
        const int count = request.target == "/few" ? 3 : 1000;
        for (int i = 0; i < count && out.raw("HTTP/1.1 100 Continue\r\n\r\n" + hints); ++i) {
        }
        out.send(200, "final");
    });
    Upstream upstream(url_to(server.port()), {});
    CHECK(ask(upstream, {"GET", "/few"}).body == "final");
    CHECK(upstream.idle_connections() == 1);
    CHECK(code_of(ask(upstream, {"GET", "/many"})) == Code::upstream);
    server.set_script(raw("HTTP/1.1 101 Switching Protocols\r\n\r\n"));
    CHECK(code_of(ask(upstream)) == Code::upstream);
}

TEST_CASE("a stream is read as it arrives") {
    Latch second;
    ScriptedUpstream server(mt::test::stalled_stream({"one"}, second, {"two"}));
    Upstream upstream(url_to(server.port()), {});
    Result<UpstreamReply> reply = upstream.send({}, {}, in(k_long));
    REQUIRE(reply);
    mt::http::EventStream events;
    std::vector<std::string> seen;
    for (auto piece = reply->read({}, in(k_long)); piece && !piece->empty(); piece = reply->read({}, in(k_long))) {
        events.feed(*piece);
        for (auto event = events.next(); event && event->has_value(); event = events.next()) {
            seen.emplace_back(**event);
        }
        second.open();
    }
    REQUIRE(seen.size() == 6);
    CHECK(seen[0] == mt::test::chat_delta("one"));
    CHECK(seen[2] == mt::test::chat_delta("two"));
    CHECK(seen[5] == "[DONE]");
    CHECK(upstream.idle_connections() == 1);
}

TEST_CASE("a reply that is cut, reset or no HTTP is the server's fault") {
    for (const char* text :
         {"", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
          "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}) {
        CAPTURE(text);
        ScriptedUpstream server(raw(text));
        Upstream upstream(url_to(server.port()), {});
        CHECK(code_of(ask(upstream)) == Code::upstream);
        CHECK(server.connections() == 1);
        CHECK(upstream.idle_connections() == 0);
    }
    for (const bool with_reset : {false, true}) {
        ScriptedUpstream server(mt::test::cut_stream({"one", "two"}, with_reset));
        Upstream upstream(url_to(server.port()), {});
        Result<UpstreamReply> reply = upstream.send({}, {}, in(k_long));
        REQUIRE(reply);
        Result<std::string_view> piece = reply->read({}, in(k_long));
        while (piece && !piece->empty()) {
            piece = reply->read({}, in(k_long));
        }
        REQUIRE_FALSE(piece);
        CHECK(piece.error().code == Code::upstream);
        CHECK(reply->read({}, in(k_long)).error().code == Code::upstream);
    }
}

TEST_CASE("read_all is bounded, announced or not") {
    for (const std::string& framing : {"Content-Length: 2000"s, "Transfer-Encoding: chunked"s, "X: until close"s}) {
        CAPTURE(framing);
        const bool chunked = framing.front() == 'T';
        const std::string body = std::string(2000, 'x');
        ScriptedUpstream server(
            raw("HTTP/1.1 200 OK\r\n" + framing + "\r\n\r\n" + (chunked ? "7d0\r\n" + body + "\r\n0\r\n\r\n" : body)));
        Upstream upstream(url_to(server.port()), {});
        for (const std::size_t most : {1999UL, 2000UL}) {
            Result<UpstreamReply> reply = upstream.send({}, {}, in(k_long));
            REQUIRE(reply);
            const Result<std::string> all = reply->read_all({}, in(k_long), most);
            CHECK(all.has_value() == (most == 2000));
            CHECK((all || all.error().code == Code::upstream));
        }
    }
}
