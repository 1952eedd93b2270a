#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <string>

#include "http/tls.h"
#include "http/upstream_kit.h"
#include "support/certificate.h"

namespace {

using mt::Code;
using mt::Result;
using mt::http::Request;
using mt::http::Responder;
using mt::http::ServerLimits;
using mt::http::StreamWriter;
using mt::http::TlsFiles;
using mt::http::Trust;
using mt::http::Upstream;
using mt::http::UpstreamOptions;
using mt::test::ask;
using mt::test::Certificate;
using mt::test::code_of;
using mt::test::k_long;
using mt::test::milliseconds;
using mt::test::Outcome;
using mt::test::ScriptedUpstream;
using mt::test::TestServer;
using mt::test::url_to;

void answer(const Request& request, Responder& out) {
    if (request.path != "/stream") {
        return out.send({.body = request.body});
    }
    StreamWriter& writer = out.start_stream({});
    for (int i = 0; i < 100 && writer.write(std::string(30'000, static_cast<char>('a' + i % 26))); ++i) {
    }
    writer.finish();
}

struct TlsServer : TestServer {
    explicit TlsServer(const std::string& host = "127.0.0.1")
        : TestServer(answer, ServerLimits{.max_body = 10'000'000}, {host, 0, ""},
                     TlsFiles{files.certificate(), files.key()}) {}

    [[nodiscard]] UpstreamOptions trusting() const {
        setenv("SSL_CERT_FILE", files.certificate().c_str(), 1);  // NOLINT(concurrency-mt-unsafe): one test at a time
        UpstreamOptions options;
        options.trust = Trust::system();
        unsetenv("SSL_CERT_FILE");  // NOLINT(concurrency-mt-unsafe)
        return options;
    }

    static inline const Certificate files{};
};

// Answers one request over TLS with a body that only the end of the connection ends; `says_so`: with close_notify.
void answer_until_close(const mt::http::Listener& listener, bool says_so) {
    pollfd waiting{listener.fd(), POLLIN, 0};
    poll(&waiting, 1, 10'000);
    const mt::http::UniqueFd fd(accept4(listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    const auto context = mt::http::TlsContext::load({TlsServer::files.certificate(), TlsServer::files.key()});
    const auto session = mt::http::TlsSession::create(**context, fd.get());
    const auto patiently = [&](const auto& attempt) {
        mt::http::IoResult result = attempt();
        waiting.fd = fd.get();
        while (result.state == mt::http::IoResult::State::again && poll(&waiting, 1, 10'000) > 0) {
            result = attempt();
        }
    };
    std::array<char, 4096> request{};
    patiently([&] { return session->handshake(); });
    patiently([&] { return session->read(request); });
    session->write("HTTP/1.1 200 OK\r\n\r\nall of it?");
    if (says_so) {
        session->close_notify();
    }
    shutdown(fd.get(), SHUT_WR);
    patiently([&] { return session->read(request); });
}

}  // namespace

TEST_CASE("over TLS the end of a connection ends a body only when the server says so") {
    const auto listener = mt::http::Listener::open({"127.0.0.1", 0, ""});
    REQUIRE(listener);
    UpstreamOptions lax;
    lax.verify = false;
    Upstream upstream(url_to(listener->address().port, "https://127.0.0.1:"), lax);
    for (const bool says_so : {true, false}) {
        std::jthread server([&] { answer_until_close(*listener, says_so); });
        const Outcome outcome = ask(upstream);
        CHECK(outcome.status == 200);
        CHECK(outcome.error.has_value() != says_so);
        CHECK((!says_so || outcome.body == "all of it?"));
        CHECK((says_so || code_of(outcome) == Code::upstream));
    }
}

TEST_CASE("requests go over TLS to a server that is trusted, by name and by address, on connections that stay") {
    const TlsServer server;
    for (const char* scheme : {"https://127.0.0.1:", "https://localhost:"}) {
        CAPTURE(scheme);
        Upstream upstream(url_to(server.address().port, scheme), server.trusting());
        for (int i = 0; i < 10; ++i) {
            const Outcome outcome = ask(upstream, {"POST", "/", {}, "text"});
            CHECK(outcome.body == "text");
        }
        CHECK(upstream.idle_connections() == 1);
        const std::string upload(5'000'000, 'u');
        CHECK(ask(upstream, {"POST", "/", {}, upload}).body == upload);
        CHECK(ask(upstream, {"GET", "/stream"}).body.size() == 100UL * 30'000);
        CHECK(upstream.idle_connections() == 1);
    }
}

TEST_CASE("a server that is not trusted gets no request") {
    const TlsServer server;
    Upstream upstream(url_to(server.address().port, "https://127.0.0.1:"), {});
    const Outcome outcome = ask(upstream);
    CHECK(code_of(outcome) == Code::unavailable);
    CHECK(outcome.error->reason == "connect");
    CHECK(outcome.error->message == "the certificate of 127.0.0.1 is not trusted: self-signed certificate");
    UpstreamOptions lax;
    lax.verify = false;
    Upstream careless(url_to(server.address().port, "https://127.0.0.1:"), lax);
    CHECK(ask(careless, {"POST", "/", {}, "x"}).body == "x");
}

TEST_CASE("a certificate for another server is not enough") {
    const TlsServer server("127.0.0.2");
    Upstream upstream(url_to(server.address().port, "https://127.0.0.2:"), server.trusting());
    const Outcome outcome = ask(upstream);
    CHECK(code_of(outcome) == Code::unavailable);
    CHECK(outcome.error->message == "the certificate of 127.0.0.2 is not trusted: IP address mismatch");
}

TEST_CASE("a server without TLS is named as such") {
    UpstreamOptions options;
    options.verify = false;
    options.connect_timeout = milliseconds(200);
    ScriptedUpstream closing([](const auto&, auto&) {});
    // What looks like the end of a head to it is in no handshake: it waits, and so does the client.
    Upstream silent(url_to(closing.port(), "https://127.0.0.1:"), options);
    const Outcome late = ask(silent);
    CHECK(code_of(late) == Code::timeout);
    CHECK(late.error->reason == "connect");
    CHECK(late.error->message == "no TLS connection to " + silent.name() + " within 200ms");

    TestServer plain([](const Request&, Responder& out) { out.send({}); });
    options.connect_timeout = k_long;
    Upstream upstream(url_to(plain.address().port, "https://127.0.0.1:"), options);
    const Outcome wrong = ask(upstream);
    CHECK(code_of(wrong) == Code::unavailable);
    CHECK(wrong.error->reason == "connect");
    CHECK(wrong.error->message.find("no TLS connection to " + upstream.name() + ": ") == 0);
}

TEST_CASE("a TLS connection that the server has ended meanwhile is replaced") {
    const TlsServer first;
    UpstreamOptions options = first.trusting();
    auto server = std::make_unique<TestServer>(answer, ServerLimits{.idle_timeout = milliseconds(50)},
                                               mt::http::Address{"127.0.0.1", 0, ""},
                                               TlsFiles{TlsServer::files.certificate(), TlsServer::files.key()});
    Upstream upstream(url_to(server->address().port, "https://127.0.0.1:"), options);
    CHECK(ask(upstream, {"POST", "/", {}, "x"}).body == "x");
    CHECK(mt::test::eventually([&] { return server->server().connections() == 0; }));
    CHECK(ask(upstream, {"POST", "/", {}, "y"}).body == "y");
}
