#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "http/client.h"
#include "http/test_server.h"
#include "support/certificate.h"

namespace {

using mt::http::Client;
using mt::http::ClientOptions;
using mt::http::Request;
using mt::http::Responder;
using mt::http::Response;
using mt::http::ServerLimits;
using mt::test::Certificate;
using mt::test::eventually;
using mt::test::get;
using mt::test::has;
using mt::test::RawClient;
using mt::test::TestServer;

constexpr std::size_t k_large = 5UL * 1024 * 1024;

void answer(const Request& request, Responder& responder) {
    if (request.path == "/stream") {
        mt::http::StreamWriter& writer = responder.start_stream({});
        for (int i = 0; i < 100 && writer.write(std::string(50'000, static_cast<char>('a' + i % 26))); ++i) {
        }
        return writer.finish();
    }
    responder.send({.body = request.path == "/large" ? std::string(k_large, 'x') : request.path + request.body});
}

struct TlsServer : TestServer {
    explicit TlsServer(const Certificate& files, const ServerLimits& limits = {})
        : TestServer(answer, limits, {"127.0.0.1", 0, ""}, mt::http::TlsFiles{files.certificate(), files.key()}) {}

    [[nodiscard]] Client client(bool verify = false) const {
        const auto url = mt::http::parse_url("https://127.0.0.1:" + std::to_string(address().port));
        REQUIRE(url);
        return Client(*url, ClientOptions{std::chrono::seconds(10), verify});
    }
};

// Verified against exactly this certificate.
bool trusts(const TlsServer& server, const Certificate& files) {
    setenv("SSL_CERT_FILE", files.certificate().c_str(), 1);  // NOLINT(concurrency-mt-unsafe): one test at a time
    const bool trusted = static_cast<bool>(server.client(true).send("GET", "/"));
    unsetenv("SSL_CERT_FILE");  // NOLINT(concurrency-mt-unsafe)
    return trusted;
}

}  // namespace

TEST_CASE("requests, large replies and streams go over TLS, on connections that stay") {
    const Certificate files;
    const TlsServer server(files);
    Client client = server.client();
    for (int i = 0; i < 20; ++i) {
        const mt::Result<Response> reply = client.send("POST", "/echo", {}, "body " + std::to_string(i));
        REQUIRE(reply);
        CHECK(reply->body == "/echobody " + std::to_string(i));
    }
    const mt::Result<Response> large = client.send("GET", "/large");
    REQUIRE(large);
    CHECK(large->body.size() == k_large);
    const mt::Result<Response> stream = client.send("GET", "/stream");
    REQUIRE(stream);
    CHECK(stream->body.size() == 100UL * 50'000);
    const std::string upload(900'000, 'u');
    const mt::Result<Response> up = client.send("POST", "/", {}, upload);
    REQUIRE(up);
    CHECK(up->body.size() == upload.size() + 1);
}

TEST_CASE("many TLS clients at once each get their own answers") {
    const Certificate files;
    const TlsServer server(files);
    std::atomic<int> right{0};
    {
        std::vector<std::jthread> clients;
        for (int c = 0; c < 8; ++c) {
            // NOLINTNEXTLINE(performance-inefficient-vector-operation): 8 threads
            clients.emplace_back([&server, &right, c] {
                Client client = server.client();
                for (int i = 0; i < 50; ++i) {
                    const std::string path = "/" + std::to_string(c) + "/" + std::to_string(i);
                    const mt::Result<Response> reply = client.send("GET", path);
                    right += reply && reply->body == path ? 1 : 0;
                }
            });
        }
    }
    CHECK(right == 400);
}

TEST_CASE("plain HTTP on a TLS port is told so") {
    const Certificate files;
    const TlsServer server(files);
    RawClient client = server.connect();
    REQUIRE(client.send(get("/")));
    const auto reply = client.reply();
    CHECK(reply.status == 400);
    CHECK(has(reply.head, "Connection: close\r\n"));
    CHECK(client.closed_by_server());
    CHECK(server.refusals() == 1);
}

TEST_CASE("a handshake that does not come is given up, silently") {
    ServerLimits limits;
    limits.head_timeout = std::chrono::milliseconds(100);
    const Certificate files;
    const TlsServer server(files, limits);
    RawClient silent = server.connect();
    RawClient half = server.connect();
    REQUIRE(half.send(std::string("\x16\x03\x01\x02", 4)));
    bool end = false;
    CHECK(silent.rest(&end).empty());
    CHECK(end);
    CHECK(half.rest().empty());
    CHECK(server.client().send("GET", "/"));
}

TEST_CASE("certificates are read anew for new connections, and bad files change nothing") {
    const Certificate first;
    const Certificate second;
    TlsServer server(first);
    Client open = server.client();
    REQUIRE(open.send("GET", "/"));
    CHECK(trusts(server, first));
    CHECK_FALSE(trusts(server, second));

    const auto replace = std::filesystem::copy_options::overwrite_existing;
    std::filesystem::copy_file(second.certificate(), first.certificate(), replace);
    const mt::Result<void> mismatch = server.server().reload_tls();  // the key is still the first one's
    REQUIRE_FALSE(mismatch);
    CHECK(mismatch.error().code == mt::Code::config);
    CHECK(server.client().send("GET", "/"));

    std::filesystem::copy_file(second.key(), first.key(), replace);
    CHECK(server.server().reload_tls());
    CHECK(trusts(server, second));
    CHECK(open.send("GET", "/"));
}

TEST_CASE("a server does not start with TLS files that cannot be used") {
    const Certificate files;
    mt::Log log(mt::LogLevel::off);
    mt::http::Server server({answer, TestServer::encode}, {}, log);
    const auto started =
        server.start({"127.0.0.1", 0, ""}, mt::http::TlsFiles{files.certificate(), files.certificate()});
    REQUIRE_FALSE(started);
    CHECK(started.error().code == mt::Code::config);
}

TEST_CASE("TLS clients in the middle of a handshake or of nothing do not hold a drain") {
    const Certificate files;
    TlsServer server(files);
    const RawClient silent = server.connect();
    Client idle = server.client();
    REQUIRE(idle.send("GET", "/"));
    CHECK(eventually([&] { return server.server().connections() == 2; }));
    server.server().stop(std::chrono::seconds(10));
    CHECK(server.server().connections() == 0);
}
