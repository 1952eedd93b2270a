#include "http/server.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "http/test_server.h"
#include "support/temp_folder.h"

namespace {

using mt::http::Request;
using mt::http::Responder;
using mt::http::Response;
using mt::http::ServerLimits;
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

std::size_t threads_of_process() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        ++count;
    }
    return count;
}

// The process has one free descriptor, for the test's own client, while this lives.
class OutOfDescriptors {
  public:
    OutOfDescriptors() {
        getrlimit(RLIMIT_NOFILE, &m_before);
        const rlimit few{k_few, m_before.rlim_max};
        REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
        std::generate(m_fillers.begin(), m_fillers.end(), [] { return mt::http::UniqueFd(dup(0)); });
        const auto last = std::find_if(m_fillers.rbegin(), m_fillers.rend(), [](const auto& fd) { return bool(fd); });
        REQUIRE(last != m_fillers.rend());
        last->reset();
    }
    OutOfDescriptors(const OutOfDescriptors&) = delete;
    OutOfDescriptors& operator=(const OutOfDescriptors&) = delete;
    ~OutOfDescriptors() { end(); }

    void end() {
        m_fillers.clear();
        setrlimit(RLIMIT_NOFILE, &m_before);
    }

  private:
    static constexpr rlim_t k_few = 128;
    rlimit m_before{};
    std::vector<mt::http::UniqueFd> m_fillers = std::vector<mt::http::UniqueFd>(k_few);
};

}  // namespace

TEST_CASE("pipelined requests are answered in order") {
    TestServer server(echo);
    RawClient client = server.connect();
    std::string all;
    for (int i = 0; i < 10; ++i) {
        all += post("/p" + std::to_string(i), std::string(static_cast<std::size_t>(i), 'b'));
    }
    REQUIRE(client.send(all + "GET /half"));
    for (int i = 0; i < 10; ++i) {
        CHECK(client.reply().body ==
              "POST /p" + std::to_string(i) + " " + std::string(static_cast<std::size_t>(i), 'b'));
    }
    REQUIRE(client.send(" HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK(client.reply().body == "GET /half ");
}

TEST_CASE("the handler sees the request as it was sent, whatever httplib would have made of it") {
    std::string seen;
    TestServer server([&seen](const Request& request, Responder& responder) {
        for (const auto& [name, value] : request.fields) {
            seen.append(name).append("=").append(value).append(";");
        }
        seen += request.peer + (request.loopback ? " loopback" : "");
        responder.send({.body = "0123456789"});
    });
    RawClient client = server.connect();
    REQUIRE(client.send(get("/a?b?c=%zz",
                            "Range: bytes=2-3\r\nAccept-Encoding: gzip, br\r\nREMOTE_ADDR: 8.8.8.8\r\n"
                            "X-Encoded: %41\r\nTE: trailers\r\nUpgrade: h2c\r\n")));
    const RawReply reply = client.reply();
    CHECK(reply.status == 200);
    CHECK(reply.body == "0123456789");
    CHECK_FALSE(has(reply.head, "Content-Encoding"));
    CHECK(seen ==
          "Host=localhost;Range=bytes=2-3;Accept-Encoding=gzip, br;REMOTE_ADDR=8.8.8.8;X-Encoded=%41;TE=trailers;"
          "Upgrade=h2c;127.0.0.1 loopback");
}

TEST_CASE("methods and sizes that httplib refuses reach the handler") {
    TestServer server(echo);
    RawClient client = server.connect();
    REQUIRE(client.send("BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK(client.reply().body == "BREW /pot ");
    const std::string target = "/" + std::string(8191, 'x');
    REQUIRE(client.send(get(target)));
    CHECK(client.reply().body == "GET " + target + " ");
    REQUIRE(client.send(get("/", "X: " + std::string(9000, 'y') + "\r\n")));
    CHECK(client.reply().status == 200);
}

TEST_CASE("HEAD gives the head of GET and no body") {
    TestServer server(echo);
    RawClient client = server.connect();
    REQUIRE(client.send("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n" + get("/y")));
    const RawReply head = client.reply(true);
    CHECK(head.status == 200);
    CHECK(has(head.head, "Content-Length: 8\r\n"));  // "HEAD /x "
    CHECK_FALSE(has(head.head, "Accept-Ranges"));
    CHECK(client.reply().body == "GET /y ");
}

TEST_CASE("204 and 304 have neither body nor length") {
    TestServer server([](const Request& request, Responder& responder) {
        responder.send({.status = request.path == "/204" ? 204 : 304, .body = "must not be sent"});
    });
    RawClient client = server.connect();
    for (const char* target : {"/204", "/304"}) {
        REQUIRE(client.send(get(target)));
        const RawReply reply = client.reply(true);
        CHECK_FALSE(has(reply.head, "Content-Length"));
        CHECK(client.surplus().empty());
    }
}

TEST_CASE("fields of a reply cannot smuggle lines onto the wire") {
    TestServer server([](const Request&, Responder& responder) {
        responder.send({.content_type = "text/plain\r\nX-Type: 1",
                        .fields = {{"X-Value", "a\r\nX-Injected: 1\r\n\r\nbody"},
                                   {"X-Name\r\nX-Injected", "2"},
                                   {"X-Nul", std::string("a\0b", 3)},
                                   {"Content-Length", "7"},
                                   {"Transfer-Encoding", "chunked"},
                                   {"Connection", "close"},
                                   {"Set-Cookie", "a=1"},
                                   {"Set-Cookie", "b=2"}},
                        .body = "fine"});
    });
    RawClient client = server.connect();
    REQUIRE(client.send(get("/")));
    const RawReply reply = client.reply();
    CHECK(reply.body == "fine");
    CHECK(client.surplus().empty());
    CHECK_FALSE(has(reply.head, "\r\nX-Injected"));
    CHECK_FALSE(has(reply.head, "\r\nX-Type"));
    CHECK_FALSE(has(reply.head, "X-Name"));
    CHECK_FALSE(has(reply.head, "Transfer-Encoding"));
    CHECK_FALSE(has(reply.head, "Connection"));
    CHECK(has(reply.head, "X-Value: a  X-Injected: 1    body\r\n"));
    CHECK(has(reply.head, "X-Nul: a b\r\n"));
    CHECK(has(reply.head, "Set-Cookie: a=1\r\n"));
    CHECK(has(reply.head, "Set-Cookie: b=2\r\n"));
}

TEST_CASE("only the first of two answers is sent") {
    TestServer server([](const Request&, Responder& responder) {
        responder.send({.body = "first"});
        responder.send({.body = "second"});
        CHECK_FALSE(responder.start_stream({}).write("third"));
    });
    RawClient client = server.connect();
    REQUIRE(client.send(get("/") + get("/")));
    CHECK(client.reply().body == "first");
    CHECK(client.reply().body == "first");
    CHECK(client.surplus().empty());
}

TEST_CASE("Connection: close and HTTP/1.0 end the connection after the reply") {
    TestServer server(echo);
    for (const std::string& request : {get("/", "Connection: close\r\n"), std::string("GET / HTTP/1.0\r\n\r\n")}) {
        RawClient client = server.connect();
        REQUIRE(client.send(request));
        const RawReply reply = client.reply();
        CHECK(reply.body == "GET / ");
        CHECK(has(reply.head, "Connection: close\r\n"));
        bool end = false;
        CHECK(client.rest(&end).empty());
        CHECK(end);
    }
    RawClient old = server.connect();
    REQUIRE(old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    CHECK(has(old.reply().head, "Connection: keep-alive\r\n"));
    REQUIRE(old.send("GET /2 HTTP/1.0\r\n\r\n"));
    CHECK(old.reply().body == "GET /2 ");
    CHECK(mt::test::eventually([&server] { return server.server().connections() == 1; }));
}

TEST_CASE("a client that shuts its side after the request is answered") {
    TestServer server(echo);
    RawClient client = server.connect();
    REQUIRE(client.send(get("/1") + get("/2")));
    client.shut_write();
    CHECK(client.reply().body == "GET /1 ");
    CHECK(client.reply().body == "GET /2 ");
    bool end = false;
    CHECK(client.rest(&end).empty());
    CHECK(end);
}

TEST_CASE("a large reply arrives whole although the client reads late") {
    const std::string body(16 * 1024UL * 1024, 'z');
    TestServer server([&body](const Request&, Responder& responder) { responder.send({.body = body}); });
    RawClient client = server.connect();
    REQUIRE(client.send(get("/")));
    const RawReply reply = client.reply();
    CHECK(reply.whole);
    CHECK(reply.body == body);
}

TEST_CASE("a unix socket is private, replaces a dead one, and is removed at the end") {
    const mt::test::TempFolder folder;
    const std::string path = folder.path() / "s";
    {
        // A server that died leaves its file.
        mt::http::UniqueFd dead(socket(AF_UNIX, SOCK_STREAM, 0));
        sockaddr_un name{};
        name.sun_family = AF_UNIX;
        path.copy(name.sun_path, sizeof(name.sun_path) - 1);
        REQUIRE(bind(dead.get(), static_cast<sockaddr*>(static_cast<void*>(&name)), sizeof(name)) == 0);
    }
    {
        TestServer server(
            [](const Request& request, Responder& responder) {
                responder.send({.body = request.peer + (request.loopback ? " loopback" : "")});
            },
            {}, {"", 0, path});
        struct stat file {};
        REQUIRE(stat(path.c_str(), &file) == 0);
        CHECK((file.st_mode & 0777U) == 0600U);
        RawClient client = server.connect();
        REQUIRE(client.send(get("/")));
        CHECK(client.reply().body == "unix loopback");

        mt::Log log(mt::LogLevel::off);
        mt::http::Server second({echo, TestServer::encode}, {}, log);
        CHECK(second.start({"", 0, path}).error().code == mt::Code::unavailable);
    }
    CHECK_FALSE(std::filesystem::exists(path));
    mt::Log log(mt::LogLevel::off);
    mt::http::Server server({echo, TestServer::encode}, {}, log);
    CHECK(server.start({"", 0, std::string(200, 'x')}).error().code == mt::Code::invalid);
    const std::string file = folder.path() / "file";
    std::filesystem::create_directory(file);
    CHECK(server.start({"", 0, file}).error().code == mt::Code::unavailable);
    CHECK(std::filesystem::exists(file));
}

TEST_CASE("a request that is left in the socket while another is answered is not forgotten") {
    // What one read takes at most: the first request fills it exactly, so nothing of the second is seen with it.
    constexpr std::size_t k_one_read = 64UL * 1024;
    const mt::test::TempFolder folder;
    mt::test::Event stalled;
    mt::test::Event go_on;
    mt::Log log(mt::LogLevel::off);
    // The encoder runs where requests are read, so it can hold up reading until both requests are in the socket.
    mt::http::Server server({echo,
                             [&](const mt::Error& error) {
                                 stalled.set();
                                 go_on.wait();
                                 return TestServer::encode(error);
                             }},
                            {}, log);
    const auto address = server.start({"", 0, folder.path() / "s"});
    REQUIRE(address);
    RawClient refused(*address);
    REQUIRE(refused.send("nonsense\r\n\r\n"));
    REQUIRE(stalled.wait());
    RawClient client(*address);
    std::string first = post("/1", std::string(k_one_read, 'x'));
    first = post("/1", std::string(k_one_read - (first.size() - k_one_read), 'x'));
    REQUIRE(first.size() == k_one_read);
    REQUIRE(client.send(first + get("/2")));
    go_on.set();
    CHECK(client.reply().status == 200);
    CHECK(client.reply().body == "GET /2 ");
}

TEST_CASE("without a free descriptor the server waits, without spinning, and accepts later") {
    TestServer server(echo);
    OutOfDescriptors shortage;
    RawClient client = server.connect();
    CHECK(client.send(get("/")));
    rusage start{};
    rusage end{};
    getrusage(RUSAGE_SELF, &start);
    CHECK_FALSE(client.readable(std::chrono::milliseconds(300)));
    getrusage(RUSAGE_SELF, &end);
    const auto spent_us =
        (end.ru_utime.tv_sec - start.ru_utime.tv_sec + end.ru_stime.tv_sec - start.ru_stime.tv_sec) * 1'000'000 +
        end.ru_utime.tv_usec - start.ru_utime.tv_usec + end.ru_stime.tv_usec - start.ru_stime.tv_usec;
    CHECK(spent_us < 100'000);
    shortage.end();
    CHECK(client.reply().status == 200);
}

TEST_CASE("without a free descriptor the server stops all the same") {
    TestServer server(echo);
    const OutOfDescriptors shortage;
    RawClient client = server.connect();
    CHECK(client.send(get("/")));
    server.server().stop(std::chrono::milliseconds(100));  // with this client in the backlog, for whom there is no room
    CHECK(server.server().connections() == 0);
}

TEST_CASE("2,000 idle connections cost no threads and do not stand in the way") {
    constexpr rlim_t k_needed = 4'200;
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < k_needed) {
        MESSAGE("SKIPPED: this machine allows only ", files.rlim_max, " open files");
        return;
    }
    files.rlim_cur = std::max(files.rlim_cur, k_needed);
    setrlimit(RLIMIT_NOFILE, &files);
    ServerLimits limits;
    limits.workers = 2;
    TestServer server(echo, limits);
    const std::size_t threads = threads_of_process();
    std::vector<RawClient> idle;
    idle.reserve(2'000);
    for (int i = 0; i < 2'000; ++i) {
        idle.push_back(server.connect());
    }
    CHECK(mt::test::eventually([&server] { return server.server().connections() == 2'000; }));
    CHECK(threads_of_process() == threads);
    for (std::size_t i = 0; i < idle.size(); i += 100) {
        REQUIRE(idle[i].send(get("/")));
        CHECK(idle[i].reply().status == 200);
    }
    idle.clear();
    CHECK(mt::test::eventually([&server] { return server.server().connections() == 0; }));
}

TEST_CASE("many clients at once each get their own answers") {
    TestServer server(echo);
    std::atomic<int> right{0};
    {
        std::vector<std::jthread> clients;
        for (int c = 0; c < 16; ++c) {
            // NOLINTNEXTLINE(performance-inefficient-vector-operation): 16 threads
            clients.emplace_back([&server, &right, c] {
                RawClient client(server.address());
                for (int i = 0; i < 100; ++i) {
                    const std::string body = std::to_string(c) + "/" + std::to_string(i);
                    client.send(post("/", body));
                    right += client.reply().body == "POST / " + body ? 1 : 0;
                }
            });
        }
    }
    CHECK(right == 1'600);
}
