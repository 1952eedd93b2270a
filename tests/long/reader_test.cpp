// Clients that ask and then do not read: what they cost, and that they are given up.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

#include "base/log.h"
#include "long/crowd.h"

namespace mt::test {
namespace {

constexpr std::size_t k_clients = 200;
constexpr std::size_t k_most_growth_kib = 64UL * 1000 * 1000 / 1024;
constexpr std::chrono::seconds k_patience{30};
// As over a real network: the kernels of both sides hold some tens of KB, not the megabytes of the loopback.
constexpr Dial k_narrow{4096, 1400};

// What a process held at most, of all the times it was looked at.
class Watch {
  public:
    explicit Watch(pid_t process) : m_process(process) { now(); }

    Holdings now() {
        const Holdings held = holdings_of(m_process);
        m_most.resident_kib = std::max(m_most.resident_kib, held.resident_kib);
        m_most.threads = std::max(m_most.threads, held.threads);
        return held;
    }
    [[nodiscard]] const Holdings& most() const { return m_most; }

  private:
    pid_t m_process;
    Holdings m_most{};
};

// The bytes of a reply until the connection ends, which `in_time` tells.
std::size_t read_to_the_end(const http::UniqueFd& fd, bool& in_time) {
    std::size_t bytes = 0;
    std::vector<char> room(65536);
    ssize_t got = 1;
    while (got > 0) {
        in_time = is_readable(fd, k_patience);
        got = in_time ? recv(fd.get(), room.data(), room.size(), 0) : 0;
        bytes += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    }
    return bytes;
}

// A conversation with a listing of some hundred KB; the size of that reply's body.
std::size_t fill_session(Server& server) {
    for (int i = 0; i < 2; ++i) {
        const std::string text(45'000, 'x');
        REQUIRE(server.send("POST", "/fast?session=big", {{"Content-Type", "text/plain"}}, text).status == 200);
    }
    return server.get("/fast/sessions/big").body.size();
}

std::vector<http::UniqueFd> ask_and_not_read(const http::Address& address, const std::string& request) {
    std::vector<http::UniqueFd> clients;
    for (std::size_t i = 0; i < k_clients; ++i) {
        clients.push_back(dial(address, k_narrow));
        REQUIRE(send_text(clients.back(), request));
    }
    for (const http::UniqueFd& client : clients) {
        REQUIRE(is_readable(client, k_patience));
    }
    return clients;
}

TEST_CASE("clients that do not read their large replies are given up, and cost little until then") {
    const Site site(fast_tenant("write_timeout = \"3s\""));
    Server server = site.serve({"--no-access-log"});
    const std::size_t size = fill_session(server);
    REQUIRE(size > 150'000);
    const Holdings before = holdings_of(server.process().pid());
    const std::vector<http::UniqueFd> clients = ask_and_not_read(address_of(server), get_text("/fast/sessions/big"));
    Watch watch(server.process().pid());
    CHECK(watch.now().descriptors >= before.descriptors + k_clients);
    for (int i = 0; i < 100; ++i) {
        REQUIRE(server.get("/fast?q=Hello").status == 200);
    }
    CHECK(time_until([&] { return watch.now().descriptors <= before.descriptors; }, k_patience));
    MESSAGE("replies of ", size, " bytes: RSS ", before.resident_kib, " -> ", watch.most().resident_kib,
            " KiB, threads ", before.threads, " -> ", watch.most().threads);
    CHECK(watch.most().resident_kib <= before.resident_kib + k_most_growth_kib);
    CHECK(watch.most().threads <= before.threads + k_spare_threads);
    std::size_t whole = 0;
    for (const http::UniqueFd& client : clients) {
        bool ended = false;
        whole += read_to_the_end(client, ended) >= size ? 1 : 0;
        REQUIRE(ended);
    }
    CHECK(whole == 0);
    CHECK(server.get("/livez").status == 200);
}

// Endless streams in pieces of 16 KB, except at "/short".
class Streamer {
  public:
    void operator()(const http::Request& request, http::Responder& responder) {
        if (request.path == "/short") {
            return responder.send({.body = "done"});
        }
        ++m_running;
        http::StreamWriter& writer = responder.start_stream({});
        const std::string piece(16'384, 'x');
        while (writer.write(piece)) {
        }
        --m_running;
    }
    [[nodiscard]] std::size_t running() const { return m_running; }

  private:
    std::atomic<std::size_t> m_running{0};
};

TEST_CASE("clients that do not read their streams are given up, and cost little until then") {
    Streamer streamer;
    Log log(LogLevel::off);
    http::ServerLimits limits;
    limits.write_timeout = std::chrono::seconds(3);
    http::Server server({[&](const auto& request, auto& responder) { streamer(request, responder); }, {}}, limits, log);
    const auto address = server.start({"127.0.0.1", 0, ""});
    REQUIRE(address);
    const Holdings before = holdings_of(getpid());
    const std::vector<http::UniqueFd> clients = ask_and_not_read(*address, get_text("/endless"));
    CHECK(streamer.running() == k_clients);
    CHECK(server.connections() == k_clients);
    Watch watch(getpid());
    RawClient other(*address);
    for (int i = 0; i < 100; ++i) {
        REQUIRE(other.send(get_text("/short")));
        REQUIRE(other.reply().body == "done");
    }
    other.leave();
    // The clients' own ends stay.
    CHECK(time_until([&] { return watch.now().descriptors <= before.descriptors + k_clients; }, k_patience));
    CHECK(server.connections() == 0);
    CHECK(streamer.running() == 0);
    MESSAGE("streams: RSS ", before.resident_kib, " -> ", watch.most().resident_kib, " KiB, threads ", before.threads,
            " -> ", watch.most().threads);
    CHECK(watch.most().resident_kib <= before.resident_kib + k_most_growth_kib);
    for (const http::UniqueFd& client : clients) {
        bool ended = false;
        read_to_the_end(client, ended);
        REQUIRE(ended);
    }
}

}  // namespace
}  // namespace mt::test
