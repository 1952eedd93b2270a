// Streams of a language model at their limits: very long, very many, very silent.

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "e2e/chat.h"
#include "long/crowd.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

constexpr std::size_t k_most_growth_kib = 64UL * 1024;

double seconds_since(Steady::time_point start) {
    return std::chrono::duration<double>(Steady::now() - start).count();
}

std::string stream_site(const ScriptedUpstream& upstream, const std::string& server = "") {
    return "[server]\naccess_log = false\n" + server + model_toml(upstream, "retries = 0\ntimeout = \"10m\"\n") +
           tenant_toml("acme");
}

// Byte `index` of a long answer: every printable character, quotes and line ends among them, in an order that tells
// when one is missing.
char letter(std::size_t index) {
    const std::size_t mixed = index * 31 + index / 97 * 7;
    const auto printable = static_cast<char>(' ' + mixed % 95);
    return mixed % 101 == 0 ? '\n' : printable;
}

// An answer of so many deltas of one byte, sent in pieces of about 64 KB.
Script one_byte_deltas(std::size_t count) {
    return [count](const Recorded&, ScriptedReply& out) {
        constexpr std::size_t k_piece = 64UL * 1024;
        std::array<std::string, 128> events;
        for (std::size_t c = 0; c < events.size(); ++c) {
            events.at(c) = "data: " + chat_delta(std::string(1, static_cast<char>(c))) + "\n\n";
        }
        out.start_stream();
        std::string piece;
        for (std::size_t i = 0; i < count; ++i) {
            piece += events.at(static_cast<unsigned char>(letter(i)));
            if (piece.size() >= k_piece && !out.chunk(std::exchange(piece, ""))) {
                return;
            }
        }
        out.chunk(piece);
        out.event(R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})");
        out.event("[DONE]");
        out.finish();
    };
}

// Compares the contents of a stream, as it comes, with what was sent.
class Comparison {
  public:
    // False: a byte differs.
    bool feed(const std::string& bytes) {
        m_rest += bytes;
        std::size_t at = 0;
        for (std::size_t end = 0; (end = m_rest.find("\n\n", at)) != std::string::npos; at = end + 2) {
            if (!compare(std::string_view(m_rest).substr(at, end - at))) {
                return false;
            }
        }
        m_rest.erase(0, at);
        return true;
    }
    [[nodiscard]] std::size_t compared() const { return m_compared; }
    [[nodiscard]] bool done() const { return m_done; }

  private:
    bool compare(std::string_view event) {
        constexpr std::string_view k_before = R"("content":")";
        m_done = event == "data: [DONE]";
        const std::size_t start = event.find(k_before);
        if (start == std::string_view::npos) {
            return true;
        }
        for (std::size_t at = start + k_before.size(); event.at(at) != '"'; ++at) {
            char c = event.at(at);
            if (c == '\\') {
                c = event.at(++at);
                c = c == 'n' ? '\n' : c;
            }
            if (c != letter(m_compared++)) {
                return false;
            }
        }
        return true;
    }

    std::string m_rest{};
    std::size_t m_compared = 0;
    bool m_done = false;
};

TEST_CASE("10 MB in deltas of one byte pass byte for byte, in bounded memory") {
    constexpr std::size_t k_count = 10'000'000;
    const ScriptedUpstream upstream(one_byte_deltas(k_count));
    const Site site(stream_site(upstream));
    Server server = site.serve();
    REQUIRE(server.get("/health").status == 200);
    const std::size_t before = holdings_of(server.process().pid()).resident_kib;
    const auto start = Steady::now();
    LiveChat stream(server, chat_request("tell me everything", k_streaming));
    stream.head();
    Comparison comparison;
    std::size_t most = before;
    std::size_t bytes = 0;
    std::size_t looked_at = 0;
    for (std::string piece; !(piece = stream.client().chunk()).empty();) {
        bytes += piece.size();
        REQUIRE(comparison.feed(piece));
        if (comparison.compared() - looked_at > k_count / 100) {
            looked_at = comparison.compared();
            most = std::max(most, holdings_of(server.process().pid()).resident_kib);
        }
    }
    const double seconds = seconds_since(start);
    CHECK(comparison.compared() == k_count);
    CHECK(comparison.done());
    std::printf("10,000,000 deltas of 1 byte: %.1f s, %.0f deltas/s, %.0f MB of events; RSS %zu -> %zu KiB (+%zu)\n",
                seconds, static_cast<double>(k_count) / seconds, static_cast<double>(bytes) / 1e6, before, most,
                most - before);
    CHECK(most - before < k_most_growth_kib);
    CHECK(numbers_of(server)["served"] == 1);
    CHECK(server.terminate().exit == 0);
}

TEST_CASE("a client that does not read holds its upstream up, not the memory") {
    std::atomic<std::size_t> sent{0};
    const ScriptedUpstream upstream([&](const Recorded&, ScriptedReply& out) {
        std::string piece;
        for (int i = 0; i < 100; ++i) {
            piece += "data: " + chat_delta("some words that nobody reads") + "\n\n";
        }
        out.start_stream();
        while (out.chunk(piece)) {
            sent += piece.size();
        }
    });
    const Site site(stream_site(upstream, "write_timeout = \"5s\"\n"));
    Server server = site.serve();
    const std::size_t before = holdings_of(server.process().pid()).resident_kib;
    LiveChat deaf(server, chat_request("go on", k_streaming));
    deaf.head();
    std::size_t most = before;
    const auto given_up = [&] {
        most = std::max(most, holdings_of(server.process().pid()).resident_kib);
        return numbers_of(server)["errors"] == 1;
    };
    CHECK(time_until(given_up, 30s));
    CHECK(upstream.wait_for_departures(1));
    std::printf("a client that does not read: %.1f MB taken from upstream, RSS %zu -> %zu KiB\n",
                static_cast<double>(sent) / 1e6, before, most);
    CHECK(most - before < k_most_growth_kib);
    CHECK(numbers_of(server)["in_flight"] == 0);
}

TEST_CASE("1,000 concurrent slow streams on one process: all are served, and it ends clean") {
    constexpr std::size_t k_streams = 1000;
    if (!may_open(5 * k_streams)) {
        MESSAGE("SKIPPED: fewer than ", 5 * k_streams, " open files are allowed");
        return;
    }
    constexpr int k_steps = 5;
    std::array<Latch, k_steps> steps;
    const ScriptedUpstream upstream([&](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        for (int step = 0; step < k_steps; ++step) {
            if (!out.wait_for(steps.at(static_cast<std::size_t>(step))) ||
                !out.event(chat_delta("step " + std::to_string(step) + ". "))) {
                return;
            }
        }
        out.event(R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})");
        out.event("[DONE]");
        out.finish();
    });
    const Site site(stream_site(upstream));
    Server server = site.serve();
    REQUIRE(server.get("/health").status == 200);
    const pid_t pid = server.process().pid();
    const Holdings before = holdings_of(pid);
    const auto start = Steady::now();
    std::vector<std::unique_ptr<LiveChat>> streams;
    for (std::size_t i = 0; i < k_streams; ++i) {
        streams.push_back(std::make_unique<LiveChat>(server, chat_request("stream " + std::to_string(i), k_streaming)));
    }
    REQUIRE(time_until([&] { return upstream.request_count() == k_streams; }, 60s));
    const double begun = seconds_since(start);
    steps[0].open();
    for (const auto& stream : streams) {
        REQUIRE(stream->head().starts_with("HTTP/1.1 200"));
        REQUIRE(stream->read_until("step 0"));
    }
    const Holdings during = holdings_of(pid);
    CHECK(numbers_of(server)["in_flight"] == k_streams);
    const auto asked = Steady::now();
    CHECK(server.get("/health").status == 200);
    const double health_ms = seconds_since(asked) * 1e3;
    for (std::size_t step = 1; step < steps.size(); ++step) {
        steps.at(step).open();
        for (const auto& stream : streams) {
            REQUIRE(stream->read_until("step " + std::to_string(step)));
        }
    }
    std::size_t whole = 0;
    for (const auto& stream : streams) {
        whole += text_of(chunks_of(stream->read_all())) == "step 0. step 1. step 2. step 3. step 4. " ? 1 : 0;
    }
    std::printf(
        "%zu concurrent streams: begun in %.2f s, done after %.2f s; RSS %zu -> %zu KiB (%.1f KiB each), "
        "threads %zu -> %zu, descriptors %zu -> %zu, /health in between %.1f ms\n",
        k_streams, begun, seconds_since(start), before.resident_kib, during.resident_kib,
        static_cast<double>(during.resident_kib - before.resident_kib) / k_streams, before.threads, during.threads,
        before.descriptors, during.descriptors, health_ms);
    CHECK(whole == k_streams);
    const Json numbers = numbers_of(server);
    CHECK(numbers["served"] == k_streams);
    CHECK(numbers["errors"] == 0);
    CHECK(numbers["in_flight"] == 0);
    const auto quiet = [&] { return holdings_of(pid).threads <= before.threads + k_spare_threads; };
    if (!time_until(quiet, 20s)) {
        std::printf("threads that stay: %zu\n", holdings_of(pid).threads);
    }
    const auto ended = Steady::now();
    streams.clear();
    CHECK(server.terminate().exit == 0);
    std::printf("ended clean in %.2f s\n", seconds_since(ended));
}

TEST_CASE("when no more files may be opened calls get 503, and the model's server is not blamed") {
    constexpr std::size_t k_streams = 200;
    constexpr rlim_t k_files = 256;
    if (!may_open(5 * k_streams)) {
        MESSAGE("SKIPPED: fewer than ", 5 * k_streams, " open files are allowed");
        return;
    }
    Latch latch;
    ScriptedUpstream upstream(stalled_stream({"x"}, latch, {"y"}));
    const Site site(stream_site(upstream));
    Server server = site.serve();
    const rlimit few{k_files, k_files};
    REQUIRE(prlimit(server.process().pid(), RLIMIT_NOFILE, &few, nullptr) == 0);
    std::vector<std::unique_ptr<LiveChat>> streams;
    for (std::size_t i = 0; i < k_streams; ++i) {
        streams.push_back(std::make_unique<LiveChat>(server, chat_request("stream " + std::to_string(i), k_streaming)));
    }
    // Whoever has no answer yet waits for a place in the backlog.
    const auto refused = [&] {
        return std::count_if(streams.begin(), streams.end(),
                             [](const auto& stream) { return stream->client().readable(); });
    };
    std::size_t begun = 0;
    std::size_t busy = 0;
    CHECK(time_until([&] { return refused() > 50; }, 20s));
    latch.open();
    for (const auto& stream : streams) {
        const std::string head = stream->head();
        begun += head.starts_with("HTTP/1.1 200") && text_of(chunks_of(stream->read_all())) == "xy" ? 1 : 0;
        busy += head.starts_with("HTTP/1.1 503") ? 1 : 0;
        stream->leave();
    }
    std::printf("%zu streams with %zu open files: %zu served, %zu refused with 503\n", k_streams,
                static_cast<std::size_t>(k_files), begun, busy);
    CHECK(begun > 10);
    CHECK(begun + busy == k_streams);
    upstream.set_script(chat({"after"}));
    CHECK(time_until([&] { return ask(server) == "after"; }, 10s));
    CHECK(metric(server, R"(mtagent_upstream_breaker_state{model="big"})") == "0");
}

TEST_CASE("15 s of silence bring a comment, and the stream goes on") {
    Latch latch;
    const ScriptedUpstream upstream(stalled_stream({"before"}, latch, {" after"}));
    const Site site(stream_site(upstream));
    Server server = site.serve();
    LiveChat stream(server, chat_request("Hello", k_streaming));
    stream.head();
    REQUIRE(stream.read_until("before"));
    const auto start = Steady::now();
    REQUIRE(stream.client().readable(20s));
    const double silence = seconds_since(start);
    CHECK(stream.read_until(": ping\n\n"));
    std::printf(": ping after %.2f s of silence\n", silence);
    CHECK(silence > 14.5);
    CHECK(stream.body().find("before") < stream.body().find(": ping\n\n"));
    latch.open();
    CHECK(text_of(chunks_of(stream.read_all())) == "before after");
}

}  // namespace
}  // namespace mt::test
