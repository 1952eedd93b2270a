// Requests that wait without a thread.
#include "base/parking.h"

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "http/server.h"
#include "http/test_server.h"

using mt::Parking;
using mt::http::Request;
using mt::http::Responder;
using mt::test::Event;
using mt::test::get;
using mt::test::has;
using mt::test::post;
using mt::test::RawClient;
using mt::test::RawReply;
using mt::test::TestServer;

namespace {

struct Word final : Parking::Memo {
    std::string text;
};

// Resumes parked requests from a thread of its own, when told.
class Resumer {
  public:
    void park(Responder& responder, std::string text) {
        auto memo = std::make_shared<Word>();
        memo->text = std::move(text);
        Parking* const parking = responder.parking();
        parking->park(memo);
        const std::lock_guard lock(m_mutex);
        m_parked.push_back(parking);
    }
    [[nodiscard]] std::size_t parked() const {
        const std::lock_guard lock(m_mutex);
        return m_parked.size();
    }
    void resume_all() {
        std::vector<Parking*> parked;
        {
            const std::lock_guard lock(m_mutex);
            parked.swap(m_parked);
        }
        std::jthread([&parked] {
            for (Parking* parking : parked) {
                parking->resume();
            }
        }).join();
    }

  private:
    mutable std::mutex m_mutex;
    std::vector<Parking*> m_parked;
};

// Answers with what was left, or leaves it.
void answer_or_park(Resumer& resumer, const Request& request, Responder& responder) {
    if (const auto left = std::dynamic_pointer_cast<Word>(responder.parking()->take())) {
        return responder.send({.body = left->text + request.body});
    }
    resumer.park(responder, request.target);
}

}  // namespace

TEST_CASE("parked requests hold no thread, and each is answered once with what was left for it") {
    constexpr std::size_t k_clients = 50;
    Resumer resumer;
    mt::http::ServerLimits limits;
    limits.workers = 1;
    limits.max_blocking = 1;
    TestServer server(
        [&](const Request& request, Responder& responder) { answer_or_park(resumer, request, responder); }, limits);
    std::vector<RawClient> clients;
    for (std::size_t i = 0; i < k_clients; ++i) {
        clients.push_back(server.connect());
        REQUIRE(clients.back().send(post("/" + std::to_string(i), "+body")));
    }
    REQUIRE(mt::test::eventually([&] { return resumer.parked() == k_clients; }));
    CHECK_FALSE(clients[0].readable());
    resumer.resume_all();
    for (std::size_t i = 0; i < k_clients; ++i) {
        CHECK(clients[i].reply().body == "/" + std::to_string(i) + "+body");
    }
    // The connections live on.
    REQUIRE(clients[7].send(get("/again")));
    REQUIRE(mt::test::eventually([&] { return resumer.parked() == 1; }));
    resumer.resume_all();
    CHECK(clients[7].reply().body == "/again");
}

TEST_CASE("resumed before the handler has returned, a request is run again just so") {
    std::atomic<int> runs{0};
    TestServer server([&](const Request&, Responder& responder) {
        ++runs;
        if (responder.parking()->take()) {
            return responder.send({.body = "done"});
        }
        responder.parking()->resume();
        responder.parking()->park(std::make_shared<Word>());
        responder.send({.body = "counts for nothing"});
    });
    RawClient client = server.connect();
    REQUIRE(client.send(get("/1") + get("/2")));
    CHECK(client.reply().body == "done");
    CHECK(client.reply().body == "done");
    CHECK(runs == 4);
}

TEST_CASE("a request may park again and again, also from a thread that has lost its seat") {
    Resumer resumer;
    std::atomic<int> runs{0};
    Event held;
    TestServer server([&](const Request& request, Responder& responder) {
        if (request.path == "/other") {
            return responder.send({.body = "other"});
        }
        if (++runs == 2) {
            held.wait();  // the watchdog gives the seat away
        }
        if (runs == 4) {
            return responder.send({.body = "done"});
        }
        resumer.park(responder, "");
    });
    RawClient client = server.connect();
    REQUIRE(client.send(get("/")));
    for (int run = 1; run < 4; ++run) {
        if (run == 2) {
            RawClient other = server.connect();
            REQUIRE(other.send(get("/other")));
            CHECK(other.reply().body == "other");
            held.set();
        }
        REQUIRE(mt::test::eventually([&] { return resumer.parked() == 1; }));
        CHECK(runs == run);
        resumer.resume_all();
    }
    CHECK(client.reply().body == "done");
}

TEST_CASE("a client that leaves while its request is parked stops it") {
    Resumer resumer;
    std::atomic<bool> stopped{false};
    Event seen;
    TestServer server([&](const Request& request, Responder& responder) {
        if (responder.parking()->take()) {
            stopped = responder.stop_token().stop_requested();
            seen.set();
            return responder.send({});
        }
        resumer.park(responder, request.target);
    });
    RawClient client = server.connect();
    REQUIRE(client.send(get("/")));
    REQUIRE(mt::test::eventually([&] { return resumer.parked() == 1; }));
    client.leave();
    // The reactor learns of it, and keeps the connection for whoever resumes.
    RawClient witness = server.connect();
    REQUIRE(witness.send(get("/")));
    REQUIRE(mt::test::eventually([&] { return resumer.parked() == 2; }));
    resumer.resume_all();
    REQUIRE(seen.wait());
    CHECK(witness.reply().status == 200);
    CHECK(mt::test::eventually([&] { return server.server().connections() == 1; }));
    witness.leave();
}

TEST_CASE("a drain waits for parked requests") {
    Resumer resumer;
    TestServer server(
        [&](const Request& request, Responder& responder) { answer_or_park(resumer, request, responder); });
    RawClient client = server.connect();
    REQUIRE(client.send(get("/")));
    REQUIRE(mt::test::eventually([&] { return resumer.parked() == 1; }));
    std::jthread stopper([&server] { server.server().stop(std::chrono::seconds(10)); });
    CHECK(mt::test::eventually([&server] { return !RawClient(server.address()).connected(); }));
    resumer.resume_all();
    const RawReply reply = client.reply();
    CHECK(reply.body == "/");
    CHECK(has(reply.head, "Connection: close\r\n"));
    client.leave();
}

TEST_CASE("large bodies are not read twice, and nobody parks who has answered") {
    std::atomic<bool> after_answer{true};
    TestServer server([&](const Request& request, Responder& responder) {
        const bool can = responder.parking() != nullptr;
        responder.send({.body = can ? "can" : "cannot"});
        after_answer = responder.parking() != nullptr;
        CHECK(request.method == "POST");
    });
    RawClient client = server.connect();
    REQUIRE(client.send(post("/", std::string(16 * 1024, 'x')) + post("/", std::string(16 * 1024 + 1, 'x'))));
    CHECK(client.reply().body == "can");
    CHECK(client.reply().body == "cannot");
    CHECK_FALSE(after_answer);
}

TEST_CASE("a handler that throws after it has parked is run again all the same") {
    Resumer resumer;
    TestServer server([&](const Request& request, Responder& responder) {
        answer_or_park(resumer, request, responder);
        if (resumer.parked() > 0) {
            throw std::runtime_error("secret");
        }
    });
    RawClient client = server.connect();
    REQUIRE(client.send(get("/x")));
    REQUIRE(mt::test::eventually([&] { return resumer.parked() == 1; }));
    resumer.resume_all();
    CHECK(client.reply().body == "/x");
}
