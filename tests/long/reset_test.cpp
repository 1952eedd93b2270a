// Clients that reset their connection, at every stage of a request, among others that do not.

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "base/log.h"
#include "long/crowd.h"

namespace mt::test {
namespace {

constexpr int k_rounds = 400;  // resets of each kind
constexpr int k_lanes = 4;
constexpr std::chrono::seconds k_patience{30};

// Where in the life of a request its client resets.
struct Stage {
    const char* name;
    std::string text;    ///< what it sends before
    bool reads = false;  ///< and reads some of the reply
};

void reset_at(const http::Address& address, const Stage& stage, std::atomic<int>& failed) {
    http::UniqueFd fd = dial(address);
    bool fine = fd && send_text(fd, stage.text);
    if (stage.reads) {
        std::array<char, 100> some{};
        fine = fine && is_readable(fd, k_patience) && recv(fd.get(), some.data(), some.size(), 0) > 0;
    }
    failed += fine ? 0 : 1;
    reset(std::move(fd));
}

// One lane of clients: a good one on a kept connection asks `good`, and between two of its calls others reset.
// `right` judges its replies.
template <class Right>
void run_lane(const http::Address& address, const std::vector<Stage>& stages, const std::string& good,
              const Right& right, std::atomic<int>& failed) {
    RawClient kept(address);
    for (int i = 0; i < k_rounds / k_lanes; ++i) {
        for (const Stage& stage : stages) {
            reset_at(address, stage, failed);
            failed += kept.send(good) && right(kept.reply()) ? 0 : 1;
        }
        RawClient fresh(address);
        failed += fresh.send(good) && right(fresh.reply()) ? 0 : 1;
    }
}

template <class Right>
int run_lanes(const http::Address& address, const std::vector<Stage>& stages, const std::string& good,
              const Right& right) {
    std::atomic<int> failed{0};
    std::vector<std::jthread> lanes;
    for (int i = 0; i < k_lanes; ++i) {
        lanes.emplace_back([&] { run_lane(address, stages, good, right, failed); });
    }
    lanes.clear();
    return failed;
}

TEST_CASE("resets at every stage of a request harm nobody else and leave nothing behind") {
    const Site site(fast_tenant());
    Server server = site.serve({"--no-access-log"});
    for (int i = 0; i < 5; ++i) {
        const std::string text(200'000, 'x');
        REQUIRE(server.send("POST", "/fast?session=big", {{"Content-Type", "text/plain"}}, text).status == 200);
    }
    const std::string ask = get_text("/fast?q=Hello");
    const std::string post = post_text("/fast?session=s", std::string(20'000, 'x'));
    const std::vector<Stage> stages{
        {"connected", ""},
        {"in the head", ask.substr(0, ask.size() / 2)},
        {"in the body", post.substr(0, post.size() / 2)},
        {"after the request", post_text("/fast?session=reset", "calculate 2 + 3")},
        {"after several", ask + ask + ask + ask},
        {"in the reply", get_text("/fast/sessions/big"), true},
    };
    const std::string answer = server.get("/fast?q=Hello").body;
    REQUIRE(answer.starts_with("[Fast Corp] Received: Hello\n"));
    const auto right = [&](const RawReply& reply) {
        return reply.status == 200 && reply.whole && reply.body == answer;
    };
    const Holdings before = holdings_of(server.process().pid());
    CHECK(run_lanes(address_of(server), stages, ask, right) == 0);
    Holdings after;
    const auto all_gone = [&] {
        after = holdings_of(server.process().pid());
        return after.descriptors <= before.descriptors;
    };
    CHECK(time_until(all_gone, k_patience));
    CHECK(after.threads <= before.threads + k_spare_threads);
    MESSAGE("descriptors ", before.descriptors, " -> ", after.descriptors, ", threads ", before.threads, " -> ",
            after.threads, ", RSS ", before.resident_kib, " -> ", after.resident_kib, " KiB");
    CHECK(server.get("/livez").status == 200);
    CHECK(server.terminate().exit == 0);
}

// Blocks until the token stops, some seconds at most.
void wait_for_stop(const std::stop_token& token) {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::unique_lock lock(mutex);
    changed.wait_for(lock, token, k_patience, [] { return false; });
}

// "/wait" says one thing and waits until its client has left, "/endless" streams until then, "/count" streams the
// numbers to 99.
class Streamer {
  public:
    void operator()(const http::Request& request, http::Responder& responder) {
        ++m_running;
        if (request.path == "/wait") {
            responder.start_stream({}).write("I wait");
            wait_for_stop(responder.stop_token());
            m_stopped += responder.stop_token().stop_requested() ? 1 : 0;
        } else {
            stream(request.path == "/endless", responder.start_stream({}));
        }
        --m_running;
    }

    [[nodiscard]] int running() const { return m_running; }
    [[nodiscard]] int stopped() const { return m_stopped; }

  private:
    static void stream(bool endless, http::StreamWriter& writer) {
        const std::string piece(4096, 'x');
        for (int i = 0; endless ? writer.write(piece) : i < 100 && writer.write(std::to_string(i)); ++i) {
        }
        writer.finish();
    }

    std::atomic<int> m_running{0};
    std::atomic<int> m_stopped{0};
};

TEST_CASE("resets while a handler waits or streams end it at once, and harm no other stream") {
    Streamer streamer;
    Log log(LogLevel::off);
    http::ServerLimits limits;
    limits.write_timeout = std::chrono::minutes(10);  // nobody is to wait for it
    http::Server server({[&](const auto& request, auto& responder) { streamer(request, responder); }, {}}, limits, log);
    const auto address = server.start({"127.0.0.1", 0, ""});
    REQUIRE(address);
    std::string numbers;
    for (int i = 0; i < 100; ++i) {
        numbers += std::to_string(i);
    }
    const std::vector<Stage> stages{
        {"while the handler waits", get_text("/wait"), true},
        {"in a stream", get_text("/endless"), true},
        {"before a stream", get_text("/endless")},
        {"in a short stream", get_text("/count"), true},
    };
    const std::size_t before = holdings_of(getpid()).descriptors;
    const auto right = [&](const RawReply& reply) { return reply.whole && reply.body == numbers; };
    CHECK(run_lanes(*address, stages, get_text("/count"), right) == 0);
    CHECK(time_until([&] { return server.connections() == 0 && streamer.running() == 0; }, k_patience));
    CHECK(streamer.stopped() == k_rounds);
    CHECK(holdings_of(getpid()).descriptors <= before);
}

}  // namespace
}  // namespace mt::test
