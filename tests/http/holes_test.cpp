#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "http/server.h"
#include "http/test_server.h"

// The holes of cpp-httplib 0.11.4, in the order in which the design lists them: a case for each.

namespace {

using namespace std::string_literals;
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

// Answers with everything it was asked.
void echo(const Request& request, Responder& responder) {
    responder.send({.body = request.method + " " + request.target + " " + request.body});
}

template <class Value>
Value option_of(int fd, int level, int name) {
    Value value{};
    socklen_t size = sizeof(value);
    REQUIRE(getsockopt(fd, level, name, &value, &size) == 0);
    return value;
}

// The server's own sockets: those of this process that are bound to its port.
std::vector<int> sockets_of(const TestServer& server, bool listening) {
    std::vector<int> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        const int fd = std::stoi(entry.path().filename());
        sockaddr_in name{};
        socklen_t size = sizeof(name);
        const bool ours = getsockname(fd, static_cast<sockaddr*>(static_cast<void*>(&name)), &size) == 0 &&
                          name.sin_family == AF_INET && ntohs(name.sin_port) == server.address().port;
        if (ours && (option_of<int>(fd, SOL_SOCKET, SO_ACCEPTCONN) != 0) == listening) {
            found.push_back(fd);
        }
    }
    return found;
}

// How often the threads of this process have gone to sleep so far.
long sleeps() {
    const std::string label = "voluntary_ctxt_switches:";
    long count = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream status(task.path() / "status");
        for (std::string line; std::getline(status, line);) {
            count += line.starts_with(label) ? std::stol(line.substr(label.size())) : 0;
        }
    }
    return count;
}

// Each stream, with a request behind it, gets this one status and an end; no handler sees anything of it.
void check_refused(int status, const std::vector<std::string>& streams, const ServerLimits& limits = {}) {
    std::atomic<int> handled{0};
    TestServer server(
        [&handled](const Request& request, Responder& responder) {
            ++handled;
            echo(request, responder);
        },
        limits);
    for (const std::string& stream : streams) {
        CAPTURE(stream.substr(0, 200));
        RawClient client = server.connect();
        REQUIRE(client.send(stream + get("/smuggled")));
        const RawReply reply = client.reply();
        CHECK(reply.status == status);
        CHECK(has(reply.head, "Connection: close\r\n"));
        bool end = false;
        CHECK(client.rest(&end).empty());
        CHECK(end);
    }
    CHECK(handled == 0);
}

// Blocks until the token stops, some seconds at most; true: it did.
bool wait_for_stop(const std::stop_token& token) {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::unique_lock lock(mutex);
    changed.wait_for(lock, token, std::chrono::seconds(10), [] { return false; });
    return token.stop_requested();
}

// How long one connection takes for 50 requests of this target, at best of three times.
std::chrono::nanoseconds time_of(const TestServer& server, const std::string& target) {
    auto best = std::chrono::nanoseconds::max();
    for (int round = 0; round < 3; ++round) {
        RawClient client = server.connect();
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < 50; ++i) {
            REQUIRE(client.send(get(target)));
            REQUIRE(client.reply().body == "GET " + target + " ");
        }
        best = std::min<std::chrono::nanoseconds>(best, std::chrono::steady_clock::now() - start);
    }
    return best;
}

const std::string k_head = "POST / HTTP/1.1\r\nHost: h\r\n";

}  // namespace

TEST_CASE("hole Nagle: accepted connections send at once") {
    TestServer server(echo);
    RawClient client = server.connect();
    REQUIRE(client.send(get("/")));
    REQUIRE(client.reply().status == 200);
    const std::vector<int> accepted = sockets_of(server, false);
    REQUIRE(accepted.size() == 1);
    CHECK(option_of<int>(accepted.front(), IPPROTO_TCP, TCP_NODELAY) != 0);
}

TEST_CASE("hole backlog of 5: 511 connections may wait to be accepted") {
    const TestServer server(echo);
    const std::vector<int> listening = sockets_of(server, true);
    REQUIRE(listening.size() == 1);
    int somaxconn = 0;
    std::ifstream("/proc/sys/net/core/somaxconn") >> somaxconn;
    // For a listening socket Linux reports its backlog here (net/ipv4/tcp.c, tcp_get_info).
    CHECK(option_of<tcp_info>(listening.front(), IPPROTO_TCP, TCP_INFO).tcpi_sacked ==
          static_cast<std::uint32_t>(std::min(511, somaxconn)));
}

TEST_CASE("hole keep-alive maximum of 5: a connection serves 100 requests and stays open") {
    TestServer server(echo);
    RawClient client = server.connect();
    for (int i = 0; i < 100; ++i) {
        const std::string target = "/n" + std::to_string(i);
        REQUIRE(client.send(get(target)));
        const RawReply reply = client.reply();
        REQUIRE(reply.status == 200);
        REQUIRE(reply.body == "GET " + target + " ");
        CHECK_FALSE(has(reply.head, "Connection:"));
        CHECK_FALSE(has(reply.head, "Keep-Alive:"));
        CHECK(has(reply.head, "\r\nDate: "));
    }
    CHECK(server.server().connections() == 1);
    CHECK(client.surplus().empty());
}

TEST_CASE("hole waking idle threads: 50 idle connections let every thread sleep") {
    TestServer server(echo);
    std::vector<RawClient> idle;
    idle.reserve(50);
    for (int i = 0; i < 50; ++i) {
        idle.push_back(server.connect());
        REQUIRE(idle.back().send(get("/")));
        REQUIRE(idle.back().reply().status == 200);
    }
    const long before = sleeps();
    CHECK_FALSE(idle.front().readable(std::chrono::seconds(1)));
    // One thread that wakes every 10 ms would have slept 100 times.
    CHECK(sleeps() - before < 50);
}

TEST_CASE("hole SO_REUSEPORT: a second server on the same port fails and says where") {
    TestServer first(echo);
    mt::Log log(mt::LogLevel::off);
    mt::http::Server second({echo, TestServer::encode}, {}, log);
    const auto started = second.start(first.address());
    REQUIRE_FALSE(started);
    CHECK(started.error().code == mt::Code::unavailable);
    CHECK(started.error().message == "address " + first.address().to_string() +
                                         " is in use by another program: stop it or choose another with --listen");
    const auto nowhere = second.start({"no.such.host.invalid", 0, ""});
    REQUIRE_FALSE(nowhere);
    CHECK(nowhere.error().code == mt::Code::invalid);
}

TEST_CASE("hole unlimited payload: a body over the default limit is refused before it is sent") {
    const std::size_t limit = ServerLimits{}.max_body;
    TestServer server(echo);
    RawClient client = server.connect();
    REQUIRE(client.send(post("/", std::string(limit, 'x'))));
    CHECK(client.reply().body.size() == limit + 7);
    for (const std::string& length : {std::to_string(limit + 1), "9223372036854775808"s}) {
        RawClient greedy = server.connect();
        REQUIRE(greedy.send(k_head + "Expect: 100-continue\r\nContent-Length: " + length + "\r\n\r\n"));
        CHECK(greedy.reply().status == 413);
        CHECK(greedy.closed_by_server());
    }
}

TEST_CASE("hole chunked bodies pass the limit (CVE-2025-46728): they are counted while they come") {
    constexpr std::size_t k_chunk = 64UL * 1024;
    std::string chunks = k_head + "Transfer-Encoding: chunked\r\n\r\n";
    for (std::size_t sent = 0; sent <= ServerLimits{}.max_body; sent += k_chunk) {
        chunks += "10000\r\n" + std::string(k_chunk, 'x') + "\r\n";
    }
    check_refused(413, {chunks, k_head + "Transfer-Encoding: chunked\r\n\r\nffffffff\r\n"});
}

TEST_CASE("hole gzip bodies inflate past the limit: a coded body is refused, and none is ever decoded") {
    // 20,000 times '0'.
    const std::string zipped =
        "\037\213\010\000\000\000\000\000\002\003\355\301\061\001\000\000\000"
        "\302\240\112\353\237\316\032\036\100\001\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\360\140\275\017\033\214\040\116\000\000"s;
    check_refused(415,
                  {post("/", zipped, "Content-Encoding: gzip\r\n"), post("/", zipped, "content-encoding: GZip\r\n"),
                   post("/", zipped, "Content-Encoding: br\r\n"), post("/", zipped, "Content-Encoding: deflate\r\n")});
    TestServer server(echo);
    RawClient client = server.connect();
    REQUIRE(client.send(post("/", zipped, "Content-Type: application/gzip\r\n")));
    CHECK(client.reply().body == "POST / " + zipped);
}

TEST_CASE("hole unlimited header count (CVE-2025-52887): a field over the default limit is refused") {
    const std::size_t limit = ServerLimits{}.max_fields;
    std::string fields;
    for (std::size_t i = 1; i < limit; ++i) {
        fields += "X:\r\n";
    }
    TestServer server(echo);
    RawClient client = server.connect();
    REQUIRE(client.send(get("/", fields)));
    CHECK(client.reply().status == 200);
    check_refused(431, {get("/", fields + "X:\r\n")});
}

TEST_CASE("hole unread body runs as the next request: a body that no handler reads is gone") {
    std::atomic<int> smuggled{0};
    TestServer server([&smuggled](const Request& request, Responder& responder) {
        smuggled += request.path == "/smuggled" ? 1 : 0;
        responder.send({.status = request.path == "/early" ? 401 : 200, .body = request.path});
    });
    RawClient client = server.connect();
    const std::string hidden = get("/smuggled");
    REQUIRE(client.send(post("/early", hidden) + get("/next")));
    CHECK(client.reply().status == 401);
    CHECK(client.reply().body == "/next");
    REQUIRE(client.send("GET /early HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
    REQUIRE(client.send("27\r\n" + hidden.substr(0, 0x27) + "\r\n0\r\n\r\n" + get("/last")));
    CHECK(client.reply().status == 401);
    CHECK(client.reply().body == "/last");
    CHECK(client.surplus().empty());
    CHECK(smuggled == 0);
    check_refused(413, {k_head + "Content-Length: 99999999\r\n\r\n"});
    check_refused(415, {post("/", hidden, "Content-Encoding: gzip\r\n")});
    check_refused(417, {post("/", hidden, "Expect: the-unexpected\r\n")});
}

TEST_CASE("hole REMOTE_ADDR spoofs the peer (CVE-2025-66570): it is a field like any other") {
    TestServer server([](const Request& request, Responder& responder) {
        responder.send({.body = request.peer + " " + std::string(request.field("REMOTE_ADDR").value_or("none"))});
    });
    RawClient client = server.connect();
    for (const char* prefix : {"", "X-First: 1\r\n"}) {
        REQUIRE(client.send(get("/", prefix + "REMOTE_ADDR: 8.8.8.8\r\nREMOTE_PORT: 1\r\nLOCAL_ADDR: 9.9.9.9\r\n"s)));
        CHECK(client.reply().body == "127.0.0.1 8.8.8.8");
    }
    REQUIRE(client.send(get("/")));
    CHECK(client.reply().body == "127.0.0.1 none");
}

TEST_CASE(
    "hole exception text in a header: a handler that throws, stays silent or answers nonsense gives a 500 that tells "
    "nothing") {
    TestServer server([](const Request& request, Responder& responder) {
        if (request.path == "/throw") {
            responder.send({.body = "half done"});
            throw std::runtime_error("secret");
        }
        if (request.path == "/odd") {
            throw 42;  // NOLINT(misc-throw-by-value-catch-by-reference): what is no exception must be caught too
        }
        if (request.path == "/status") {
            responder.send({.status = 42, .body = "secret"});
        }
    });
    RawClient client = server.connect();
    for (const char* target : {"/throw", "/odd", "/silent", "/status"}) {
        CAPTURE(target);
        REQUIRE(client.send(get(target)));
        const RawReply reply = client.reply();
        CHECK(reply.status == 500);
        CHECK(reply.body == "internal");
        CHECK(has(reply.head, "X-Fault: yes"));
        CHECK_FALSE(has(reply.head, "secret"));
        CHECK_FALSE(has(reply.head, "EXCEPTION"));
    }
}

TEST_CASE("hole regex routes: a path of signs is passed on as it is, and as fast as any") {
    TestServer server(echo);
    const std::string evil = "/.*(a+)+$|[a-z]{2,}\\^(.*)*/" + std::string(7'000, 'a') + "(a|a)*!";
    const auto plain = time_of(server, "/" + std::string(evil.size() - 1, 'x'));
    CHECK(time_of(server, evil) < 20 * plain);
}

TEST_CASE("hole form bodies over 8 KB: they are bodies like any other") {
    TestServer server(echo);
    RawClient client = server.connect();
    for (const std::size_t size : {8'193UL, 20'000UL, 1'000'000UL}) {
        const std::string body = "a=" + std::string(size, 'f');
        REQUIRE(client.send(post("/", body, "Content-Type: application/x-www-form-urlencoded\r\n")));
        CHECK(client.reply().body == "POST / " + body);
    }
}

TEST_CASE("hole a provider that never writes: it is told when the client leaves, before and inside a stream") {
    for (const bool streams : {false, true}) {
        CAPTURE(streams);
        Event entered;
        Event stopped;
        TestServer server([&](const Request&, Responder& responder) {
            if (streams) {
                responder.start_stream({});
            }
            entered.set();
            if (wait_for_stop(responder.stop_token())) {
                stopped.set();
            }
        });
        RawClient client = server.connect();
        REQUIRE(client.send(get("/")));
        REQUIRE(entered.wait());
        client.leave();
        CHECK(stopped.wait());
    }
}

TEST_CASE("hole Content-Length and Transfer-Encoding: both together are refused") {
    check_refused(400, {k_head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                        k_head + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"});
}

TEST_CASE("hole repeated Content-Length: refused, equal or not") {
    check_refused(400, {k_head + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
                        k_head + "Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
                        k_head + "Content-Length: 5, 5\r\n\r\nhello"});
}

TEST_CASE("hole malformed Content-Length: refused") {
    for (const char* value : {"", "+5", "-5", "5x", "0x5", "5 5", "18446744073709551621"}) {
        check_refused(400, {k_head + "Content-Length: " + value + "\r\n\r\nhello"});
    }
}

TEST_CASE("hole bare CR or LF: refused in line ends, fields and chunks") {
    check_refused(400, {"GET / HTTP/1.1\nHost: h\n\n", "GET / HTTP/1.1\r\nHost: h\n\r\n", k_head + "X: a\rb\r\n\r\n",
                        k_head + "X: a\nb\r\n\r\n", k_head + "X: a\rTransfer-Encoding: chunked\r\n\r\n",
                        k_head + "Transfer-Encoding: chunked\r\n\r\n0\n\n",
                        k_head + "Transfer-Encoding: chunked\r\n\r\n5;\nhello\r\n0\r\n\r\n"});
}

TEST_CASE("hole NUL: refused in target, name and value") {
    check_refused(400,
                  {"GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"s, k_head + "X\0: y\r\n\r\n"s, k_head + "X: y\0\r\n\r\n"s});
}

TEST_CASE("hole obs-fold: refused") {
    check_refused(400,
                  {k_head + "X: y\r\n z\r\n\r\n", k_head + "X: y\r\n\tz: 1\r\n\r\n", k_head + "X: y\r\n z: 1\r\n\r\n"});
}

TEST_CASE("hole missing or double Host: refused") {
    check_refused(400, {"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
                        "GET / HTTP/1.1\r\nHost: h\r\nhost: other\r\n\r\n"});
}
