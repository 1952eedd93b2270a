#include "http/client.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "http/net.h"
#include "http/test_server.h"
#include "http/tls.h"
#include "support/certificate.h"
#include "support/temp_folder.h"

namespace {

using mt::Code;
using mt::http::Client;
using mt::http::ClientOptions;
using mt::http::IoResult;
using mt::http::Request;
using mt::http::Responder;
using mt::http::Response;
using mt::http::TlsContext;
using mt::http::TlsSession;
using mt::http::Trust;
using mt::http::Url;
using mt::test::TestServer;

constexpr std::chrono::milliseconds k_patience{5'000};

Url url_of(const mt::http::Address& address) {
    return *mt::http::parse_url(address.unix_path.empty() ? "http://" + address.to_string() : address.to_string());
}

std::string field_of(const Response& response, const std::string& name) {
    for (const auto& [key, value] : response.fields) {
        if (key == name) {
            return value;
        }
    }
    return "absent";
}

void echo(const Request& request, Responder& responder) {
    responder.send({.status = 201,
                    .content_type = "application/x-test",
                    .fields = {{"X-Host", std::string(*request.field("host"))},
                               {"X-Asked", std::string(request.field("x-ask").value_or(""))}},
                    .body = request.method + " " + request.target + " " + request.body});
}

// Accepts one connection, reads its request and answers with these bytes; closes unless told to stay silent.
class ScriptedServer {
  public:
    explicit ScriptedServer(std::string reply, bool close_after = true)
        : m_listener(*mt::http::Listener::open({"127.0.0.1", 0, ""})),
          m_thread([this, reply = std::move(reply), close_after] { serve(reply, close_after); }) {}

    [[nodiscard]] const mt::http::Address& address() const { return m_listener.address(); }
    void finish() { m_done.set(); }

  private:
    void serve(const std::string& reply, bool close_after) {
        pollfd waiting{m_listener.fd(), POLLIN, 0};
        poll(&waiting, 1, 10'000);
        const mt::http::UniqueFd fd(accept(m_listener.fd(), nullptr, nullptr));
        std::string request(4096, '\0');
        recv(fd.get(), request.data(), request.size(), 0);
        send(fd.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
        if (!close_after) {
            m_done.wait();
        }
    }

    mt::http::Listener m_listener;
    mt::test::Event m_done;
    std::jthread m_thread;
};

// Makes a file the system's authorities for as long as it lives.
class Authority {
  public:
    // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread of the tests looks at the environment
    explicit Authority(const std::string& file) { setenv("SSL_CERT_FILE", file.c_str(), 1); }
    Authority(const Authority&) = delete;
    Authority& operator=(const Authority&) = delete;
    // NOLINTNEXTLINE(concurrency-mt-unsafe)
    ~Authority() { unsetenv("SSL_CERT_FILE"); }
};

// Speaks TLS with one client after the other and answers every request with "hello".
class TlsServer {
  public:
    explicit TlsServer(const std::string& host = "127.0.0.1", int replies_per_connection = 100)
        : m_listener(*mt::http::Listener::open({host, 0, ""})),
          m_replies(replies_per_connection),
          m_context(*TlsContext::load({m_files.certificate(), m_files.key()})),
          m_thread([this] { run(); }) {}
    TlsServer(const TlsServer&) = delete;
    TlsServer& operator=(const TlsServer&) = delete;
    ~TlsServer() { shutdown(m_listener.fd(), SHUT_RDWR); }

    [[nodiscard]] Url url(const std::string& host = "127.0.0.1") const {
        return *mt::http::parse_url("https://" + host + ":" + std::to_string(m_listener.address().port));
    }
    [[nodiscard]] const mt::test::Certificate& files() const { return m_files; }
    [[nodiscard]] int connections() const { return m_connections; }
    [[nodiscard]] int requests() const { return m_requests; }
    bool wait_for_close() { return m_closed.wait(); }

  private:
    void run() {
        for (;;) {
            pollfd waiting{m_listener.fd(), POLLIN, 0};
            poll(&waiting, 1, -1);
            const mt::http::UniqueFd fd(accept4(m_listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (!fd) {
                return;
            }
            ++m_connections;
            serve(fd.get());
        }
    }

    void serve(int fd) {
        const auto session = TlsSession::create(*m_context, fd);
        if (wait(fd, [&] { return session->handshake(); }).state != IoResult::State::moved) {
            return;
        }
        std::array<char, 4096> bytes{};
        for (int i = 0; i < m_replies; ++i) {
            if (wait(fd, [&] { return session->read(bytes); }).state != IoResult::State::moved) {
                return;
            }
            ++m_requests;
            session->write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
        session->close_notify();
        shutdown(fd, SHUT_RDWR);
        m_closed.set();
    }

    template <class Attempt>
    static IoResult wait(int fd, const Attempt& attempt) {
        IoResult result = attempt();
        pollfd waiting{fd, POLLIN, 0};
        while (result.state == IoResult::State::again && poll(&waiting, 1, 10'000) > 0) {
            result = attempt();
        }
        return result;
    }

    mt::test::Certificate m_files;
    mt::http::Listener m_listener;
    int m_replies;
    std::shared_ptr<const TlsContext> m_context;
    std::atomic<int> m_connections{0};
    std::atomic<int> m_requests{0};
    mt::test::Event m_closed;
    std::jthread m_thread;
};

}  // namespace

TEST_CASE("client and server understand each other, over one connection") {
    TestServer server(echo);
    Client client(url_of(server.address()), k_patience);
    for (int i = 0; i < 3; ++i) {
        const auto reply = client.send("POST", "/a%20b?c=%zz", {{"X-Ask", "%41"}}, "the body");
        REQUIRE(reply);
        CHECK(reply->status == 201);
        CHECK(reply->body == "POST /a%20b?c=%zz the body");
        CHECK(reply->content_type == "application/x-test");
        CHECK(field_of(*reply, "X-Host") == server.address().to_string());
        CHECK(field_of(*reply, "Content-Length") == "26");
    }
    CHECK(server.server().connections() == 1);
    CHECK(client.send("HEAD", "/h")->body.empty());
    CHECK(client.send("DELETE", "/d")->body == "DELETE /d ");
    CHECK(client.send("BREW", "/b")->body == "BREW /b ");
}

TEST_CASE("the client speaks over a unix socket") {
    const mt::test::TempFolder folder;
    TestServer server(echo, {}, {"", 0, folder.path() / "s"});
    Client client(url_of(server.address()), k_patience);
    const auto reply = client.send("GET", "/");
    REQUIRE(reply);
    CHECK(reply->body == "GET / ");
    CHECK(field_of(*reply, "X-Host") == "localhost");
}

TEST_CASE("the client reads streams and comes back after the server closed") {
    TestServer server([](const Request&, Responder& responder) {
        auto& writer = responder.start_stream({});
        writer.write("one ");
        writer.write("two");
        writer.finish();
    });
    Client client(url_of(server.address()), k_patience);
    CHECK(client.send("GET", "/")->body == "one two");
    CHECK(client.send("GET", "/", {{"Connection", "close"}})->body == "one two");
    CHECK(client.send("GET", "/")->body == "one two");
}

TEST_CASE("redirects are not followed and codings not undone") {
    TestServer server([](const Request&, Responder& responder) {
        responder.send(
            {.status = 302, .fields = {{"Location", "/elsewhere"}, {"Content-Encoding", "gzip"}}, .body = "raw"});
    });
    Client client(url_of(server.address()), k_patience);
    const auto reply = client.send("GET", "/");
    REQUIRE(reply);
    CHECK(reply->status == 302);
    CHECK(field_of(*reply, "Location") == "/elsewhere");
    CHECK(reply->body == "raw");
}

TEST_CASE("nobody there is unavailable") {
    mt::http::Address free_port;
    {
        const auto listener = mt::http::Listener::open({"127.0.0.1", 0, ""});
        free_port = listener->address();
    }
    const auto reply = Client(url_of(free_port), k_patience).send("GET", "/");
    REQUIRE_FALSE(reply);
    CHECK(reply.error().code == Code::unavailable);
    CHECK(reply.error().message == "cannot connect to " + free_port.to_string());
    CHECK(Client(Url{"", 0, "/", "/nonexistent/socket"}, k_patience).send("GET", "/").error().code ==
          Code::unavailable);
}

TEST_CASE("silence is a timeout") {
    for (const char* start : {"", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"}) {
        ScriptedServer server(start, false);
        const auto reply = Client(url_of(server.address()), std::chrono::milliseconds(100)).send("GET", "/");
        REQUIRE_FALSE(reply);
        CHECK(reply.error().code == Code::timeout);
        server.finish();
    }
}

TEST_CASE("a cut reply and one that is no HTTP are the server's fault") {
    for (const char* text : {"", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"}) {
        CAPTURE(text);
        ScriptedServer server(text);
        const auto reply = Client(url_of(server.address()), k_patience).send("GET", "/");
        REQUIRE_FALSE(reply);
        CHECK(reply.error().code == Code::upstream);
    }
}

TEST_CASE("a request that would inject lines is refused before it is sent") {
    Client client(Url{"127.0.0.1", 1, "/", ""}, k_patience);
    CHECK(client.send("GET", "/\r\nX: y").error().code == Code::invalid);
    CHECK(client.send("GET", "/a b").error().code == Code::invalid);
    CHECK(client.send("G T", "/").error().code == Code::invalid);
    CHECK(client.send("GET", "/", {{"X", "a\r\nY: b"}}).error().code == Code::invalid);
    CHECK(client.send("GET", "/", {{"X:", "a"}}).error().code == Code::invalid);
}

TEST_CASE("https is spoken, over one connection") {
    TlsServer server;
    Client client(server.url(), ClientOptions{k_patience, false});
    for (int i = 0; i < 3; ++i) {
        const auto reply = client.send("GET", "/");
        REQUIRE(reply);
        CHECK(reply->status == 200);
        CHECK(reply->body == "hello");
    }
    CHECK(server.connections() == 1);
    CHECK(server.requests() == 3);
}

TEST_CASE("a server whose certificate is not trusted gets no request") {
    TlsServer server;
    const auto reply = Client(server.url(), k_patience).send("GET", "/");
    REQUIRE_FALSE(reply);
    CHECK(reply.error().code == Code::unavailable);
    CHECK(reply.error().message == "the certificate of 127.0.0.1 is not trusted: self-signed certificate");
    CHECK(server.requests() == 0);
}

TEST_CASE("the system's authorities vouch for names and addresses, and clients can share them") {
    TlsServer server;
    TlsServer elsewhere("127.0.0.2");
    std::shared_ptr<const Trust> trust;
    {
        const Authority authority(server.files().certificate());
        CHECK(Client(server.url(), k_patience).send("GET", "/"));
        CHECK(Client(server.url("localhost"), k_patience).send("GET", "/"));
        trust = Trust::system();
    }
    {
        const Authority authority(elsewhere.files().certificate());
        const auto misnamed = Client(elsewhere.url("127.0.0.2"), k_patience).send("GET", "/");
        REQUIRE_FALSE(misnamed);
        CHECK(misnamed.error().message == "the certificate of 127.0.0.2 is not trusted: IP address mismatch");
    }
    CHECK_FALSE(Client(server.url(), k_patience).send("GET", "/"));
    for (int i = 0; i < 2; ++i) {
        CHECK(Client(server.url(), ClientOptions{k_patience, true, trust}).send("GET", "/"));
    }
    CHECK_FALSE(Client(elsewhere.url("127.0.0.2"), ClientOptions{k_patience, true, trust}).send("GET", "/"));
    CHECK(elsewhere.requests() == 0);
}

TEST_CASE("a TLS connection that the server has ended meanwhile is replaced") {
    TlsServer server("127.0.0.1", 1);
    Client client(server.url(), ClientOptions{k_patience, false});
    CHECK(client.send("GET", "/"));
    REQUIRE(server.wait_for_close());
    CHECK(client.send("GET", "/"));
    CHECK(server.connections() == 2);
}

TEST_CASE("a server without TLS is named as such") {
    struct Case {
        std::string says;
        bool closes;
        Code code;
        std::string why;
    };
    for (const Case& c : {Case{"HTTP/1.1 400 Bad Request\r\n\r\n", true, Code::unavailable, ": wrong version number"},
                          Case{"", true, Code::unavailable, ": unexpected eof while reading"},
                          Case{"", false, Code::timeout, " within 300ms"}}) {
        CAPTURE(c.why);
        ScriptedServer server(c.says, c.closes);
        const Url url = *mt::http::parse_url("https://" + server.address().to_string());
        const auto reply = Client(url, std::chrono::milliseconds(c.closes ? 5'000 : 300)).send("GET", "/");
        REQUIRE_FALSE(reply);
        CHECK(reply.error().code == c.code);
        CHECK(reply.error().message == "no TLS connection to " + server.address().to_string() + c.why);
        server.finish();
    }
}
