// The server ends while a language model streams through it.

#include <csignal>
#include <cstdio>
#include <memory>
#include <vector>

#include "e2e/chat.h"
#include "long/crowd.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t k_streams = 20;

// Streams through a server, each with some words out and the end still to come.
struct Streams {
    explicit Streams(const std::string& server_settings = "")
        : upstream(stalled_stream({"some", " words"}, latch, {" and the end"})),
          site("[server]\n" + server_settings + model_toml(upstream) +
               tenant_toml("acme", "model = \"big\"\nbudget = \"1000000/day\"\n")) {}

    void begin() {
        for (std::size_t i = 0; i < k_streams; ++i) {
            open.push_back(
                std::make_unique<LiveChat>(server, chat_request("stream " + std::to_string(i), k_streaming)));
            open.back()->head();
            REQUIRE(open.back()->read_until("words"));
        }
    }

    Latch latch{};
    ScriptedUpstream upstream;
    Site site;
    Server server{site.launch()};
    std::vector<std::unique_ptr<LiveChat>> open{};
};

TEST_CASE("SIGTERM lets streams end, and takes no new ones") {
    Streams streams;
    streams.begin();
    RawClient early({"127.0.0.1", streams.server.port(), ""});
    streams.server.process().signal(SIGTERM);
    const auto closed = [&] { return !RawClient({"127.0.0.1", streams.server.port(), ""}).connected(); };
    CHECK(time_until(closed, 10s));
    CHECK_FALSE(streams.server.process().ended());
    for (const auto& stream : streams.open) {
        CHECK_FALSE(stream->client().readable());
    }
    streams.latch.open();
    for (const auto& stream : streams.open) {
        CHECK(text_of(chunks_of(stream->read_all())) == "some words and the end");
    }
    CHECK(streams.server.process().wait().exit == 0);
    const Json numbers = streams.site.json({"stats", "acme"})["acme"];
    CHECK(numbers["served"] == k_streams);
    CHECK(numbers["errors"] == 0);
    CHECK(numbers["tokens_in"] == 12 * k_streams);
    CHECK(numbers["tokens_out"] == 7 * k_streams);
}

TEST_CASE("past drain_timeout streams are cut: the process ends with 0, and they count as failed") {
    Streams streams("drain_timeout = \"500ms\"\n");
    streams.begin();
    const auto start = std::chrono::steady_clock::now();
    const Outcome ended = streams.server.terminate();
    CHECK(ended.exit == 0);
    std::printf("drain_timeout 0.5 s with %zu stalled streams: ended after %.2f s\n", k_streams,
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    CHECK(streams.upstream.wait_for_departures(k_streams));
    for (const auto& stream : streams.open) {
        CHECK(stream->read_all().find("[DONE]") == std::string::npos);
    }
    const Json numbers = streams.site.json({"stats", "acme"})["acme"];
    CHECK(numbers["served"] == 0);
    CHECK(numbers["errors"] == k_streams);
    CHECK(numbers["tokens_out"].get<int>() > 0);  // what was streamed was used
    CHECK(streams.site.json({"check"})["faults"].empty());
}

TEST_CASE("kill -9 during streams: acknowledged <= stored <= acknowledged + in flight") {
    Streams streams;
    constexpr int k_done = 10;
    streams.upstream.set_script(chat({"done"}, ChatUsage{12, 7}));
    for (int i = 0; i < k_done; ++i) {
        CHECK(text_of(chunks_of(complete(streams.server, chat_request("x", k_streaming)).body)) == "done");
    }
    streams.upstream.set_script(stalled_stream({"some", " words"}, streams.latch, {" and the end"}));
    streams.begin();
    CHECK(streams.server.kill().exit < 0);
    CHECK(streams.upstream.wait_for_departures(k_streams));
    for (int life = 0; life < 2; ++life) {
        Server again = streams.site.serve();
        const Json numbers = numbers_of(again);
        std::printf("kill -9 with %d calls acknowledged and %zu in flight: %d stored\n", k_done, k_streams,
                    numbers["requests"].get<int>());
        CHECK(numbers["requests"].get<int>() >= k_done);
        CHECK(numbers["requests"].get<int>() <= k_done + static_cast<int>(k_streams));
        CHECK(numbers["served"] == k_done);
        CHECK(numbers["tokens_in"].get<int>() >= 12 * k_done);
        CHECK(numbers["tokens_out"].get<int>() >= 7 * k_done);
        CHECK(numbers["in_flight"] == 0);
        const int used = numbers["tokens_in"].get<int>() + numbers["tokens_out"].get<int>();
        again.get("/acme/v1/models");  // loads the tenant
        CHECK(metric(again, R"(mtagent_tenant_budget_used_tokens{tenant_id="acme"})") == std::to_string(used));
        CHECK(again.kill().exit < 0);
    }
    CHECK(streams.site.json({"check"})["faults"].empty());
}

}  // namespace
}  // namespace mt::test
