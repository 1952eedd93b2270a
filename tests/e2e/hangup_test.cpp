// A client that hangs up stops everything that was done for it, at once.

#include <algorithm>
#include <cstdio>

#include "e2e/chat.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;
using TimePoint = std::chrono::steady_clock::time_point;

// The promise is 100 ms. A busy machine may be late once, but not most of the time.
constexpr int k_times = 5;
constexpr std::chrono::milliseconds k_bound{100};

// A tenant with one place, so that whoever leaves without freeing it is noticed.
struct HangupHouse {
    explicit HangupHouse(Script script, const std::string& model = "retries = 0\n", const std::string& more = "")
        : upstream(std::move(script)),
          site(more + model_toml(upstream, model) + tenant_toml("acme", "model = \"big\"\nmax_concurrency = 1\n")) {}

    // Everything of `calls` calls is over: none in flight, each counted once, as failed.
    void expect_failed(int calls) {
        CHECK(time_until([&] { return numbers_of(server)["errors"] == calls; }, 5s));
        const Json numbers = numbers_of(server);
        CHECK(numbers["in_flight"] == 0);
        CHECK(numbers["requests"] == calls);
        CHECK(numbers["served"] == 0);
        CHECK(numbers["denied"] == 0);
        CHECK(metric(server, R"(tenant_requests_total{tenant_id="acme",status="error"})") == std::to_string(calls));
    }
    // The place is free: the next one is answered.
    void expect_place() {
        upstream.set_script(chat({"next"}));
        CHECK(answer_of(complete(server, chat_request("next"))) == "next");
        CHECK(metric(server, R"(mtagent_upstream_breaker_state{model="big"})") == "0");
    }

    ScriptedUpstream upstream;
    Site site;
    Server server = site.serve({"--log-level", "info"});
};

// From hanging up to the end of call `number` at the server behind.
std::chrono::microseconds delay(const ScriptedUpstream& upstream, std::size_t number, TimePoint left) {
    REQUIRE(upstream.wait_for_departures(number + 1));
    const auto noticed = upstream.requests().at(number).left_at;
    REQUIRE(noticed);
    return std::chrono::duration_cast<std::chrono::microseconds>(*noticed - left);
}

void expect_prompt(const char* when, std::vector<std::chrono::microseconds> delays) {
    std::sort(delays.begin(), delays.end());
    std::printf("client hangs up %s: upstream call ends after %.1f ms (median), %.1f ms (worst of %d)\n", when,
                static_cast<double>(delays[delays.size() / 2].count()) / 1e3,
                static_cast<double>(delays.back().count()) / 1e3, static_cast<int>(delays.size()));
    CHECK(delays[delays.size() / 2] < k_bound);
}

TEST_CASE("in mid-stream: the upstream call ends within 100 ms") {
    Latch never;
    HangupHouse house(stalled_stream({"some", " words"}, never, {"x"}));
    std::vector<std::chrono::microseconds> delays;
    for (std::size_t i = 0; i < k_times; ++i) {
        LiveChat stream(house.server, chat_request("Hello", k_streaming));
        CHECK(stream.head().starts_with("HTTP/1.1 200"));
        REQUIRE(stream.read_until("words"));
        delays.push_back(delay(house.upstream, i, stream.leave()));
        house.expect_failed(static_cast<int>(i) + 1);
    }
    expect_prompt("in mid-stream", delays);
    house.expect_place();
    const std::string log = house.server.terminate().err;
    std::size_t lines = 0;
    for (std::size_t at = 0; (at = log.find("\"status\":499", at)) != std::string::npos; ++at) {
        const std::string line = log.substr(at, log.find('\n', at) - at);
        CHECK_MESSAGE(line.find("\"outcome\":\"failed\"") != std::string::npos, line);
        ++lines;
    }
    CHECK_MESSAGE(lines == k_times, log);
}

TEST_CASE("in a stream that never pauses: the upstream is not read to its end") {
    HangupHouse house([](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        while (out.event(chat_delta("word "))) {
        }
    });
    LiveChat stream(house.server, chat_request("Hello", k_streaming));
    stream.head();
    REQUIRE(stream.read_until("word"));
    stream.leave();
    CHECK(house.upstream.wait_for_departures(1));
    house.expect_failed(1);
    house.expect_place();
}

TEST_CASE("before the first byte: the upstream call ends within 100 ms, streamed or not, under every address") {
    HangupHouse house([](const Recorded&, ScriptedReply& out) { out.keep_silent(); });
    std::vector<std::chrono::microseconds> delays;
    for (std::size_t i = 0; i < k_times; ++i) {
        RawClient client({"127.0.0.1", house.server.port(), ""});
        const std::string body = chat_request("Hello", {{"stream", i % 3 == 0}}).dump();
        const std::string post =
            "POST /acme/v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
            "application/json\r\nContent-Length: " +
            std::to_string(body.size()) + "\r\n\r\n" + body;
        REQUIRE(client.send(i % 3 == 2 ? "GET /acme?q=Hello HTTP/1.1\r\nHost: localhost\r\n\r\n" : post));
        REQUIRE(house.upstream.wait_for_requests(i + 1));
        const auto left = std::chrono::steady_clock::now();
        client.leave();
        delays.push_back(delay(house.upstream, i, left));
        house.expect_failed(static_cast<int>(i) + 1);
    }
    expect_prompt("before the first byte", delays);
    house.expect_place();
}

TEST_CASE("in the pause before another attempt: it is not made, and the place is free at once") {
    HangupHouse house(rate_limited("30"), "retries = 5\n");
    std::vector<std::chrono::microseconds> delays;
    for (std::size_t i = 0; i < k_times; ++i) {
        LiveChat waiting(house.server, chat_request("Hello", k_streaming));
        REQUIRE(house.upstream.wait_for_requests(i + 1));
        REQUIRE(time_until([&] { return numbers_of(house.server)["in_flight"] == 1; }, 5s));
        const auto left = waiting.leave();
        REQUIRE(time_until([&] { return numbers_of(house.server)["in_flight"] == 0; }, 5s));
        delays.push_back(
            std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - left));
        house.expect_failed(static_cast<int>(i) + 1);
    }
    expect_prompt("in a retry's pause", delays);
    CHECK(house.upstream.request_count() == k_times);
    house.expect_place();
}

TEST_CASE("while a tool runs: the tool's call ends, too") {
    const ScriptedUpstream shop([](const Recorded&, ScriptedReply& out) { out.keep_silent(); });
    HangupHouse house(tools({{"c1", "order", "{}"}}), "retries = 0\n",
                      "[server]\nprivate_upstreams = [\"127.0.0.0/8\"]\n[tools.order]\ndescription = \"d\"\nurl = \"" +
                          shop.url("/order") + "\"\n");
    LiveChat stream(house.server, chat_request("Hello", k_streaming));
    REQUIRE(shop.wait_for_requests(1));
    expect_prompt("while a tool runs", {delay(shop, 0, stream.leave())});
    house.expect_failed(1);
    CHECK(house.upstream.request_count() == 1);
    house.expect_place();
}

TEST_CASE("who shares an answer that others wait for leaves it running; the last one stops it") {
    HangupHouse house([](const Recorded&, ScriptedReply& out) { out.keep_silent(); });
    REQUIRE(house.site.run({"tenant", "config", "acme", "max_concurrency=10"}).exit == 0);
    const Json cold = chat_request("Hello", {{"temperature", 0}});
    LiveChat leader(house.server, cold);
    REQUIRE(house.upstream.wait_for_requests(1));
    const auto in_flight = [&](int wanted) {
        return time_until([&] { return numbers_of(house.server)["in_flight"] == wanted; }, 5s).has_value();
    };
    REQUIRE(in_flight(1));
    std::vector<LiveChat> followers;
    // The new limit may take its 200 ms.
    REQUIRE(time_until(
        [&] {
            followers.clear();
            followers.emplace_back(house.server, cold);
            return !followers.back().client().readable(100ms) && numbers_of(house.server)["in_flight"] == 2;
        },
        5s));
    leader.leave();
    CHECK_FALSE(house.upstream.requests().at(0).left_at);
    CHECK(house.upstream.open_connections() == 1);
    const auto left = followers.back().leave();
    CHECK(delay(house.upstream, 0, left) < 10 * k_bound);
    CHECK(in_flight(0));
    CHECK(house.upstream.request_count() == 1);
    CHECK(numbers_of(house.server)["served"] == 0);
}

}  // namespace
}  // namespace mt::test
