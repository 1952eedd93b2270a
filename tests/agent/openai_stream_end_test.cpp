// Streams that break, stall or are left by their client.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent/model_fixture.h"
#include "agent/stream_kit.h"

namespace {

using mt::Code;
using mt::Context;
using mt::test::chat_delta;
using mt::test::chat_stream;
using mt::test::Completed;
using mt::test::cut_stream;
using mt::test::Latch;
using mt::test::Lines;
using mt::test::median;
using mt::test::milliseconds;
using mt::test::ModelFixture;
using mt::test::Recorded;
using mt::test::Script;
using mt::test::ScriptedReply;
using mt::test::sequence;
using mt::test::stop_when;
using mt::test::stream_events;

// The bound of the issue: a client that hangs up cancels the upstream call within this time.
constexpr milliseconds k_cancelled_within{100};

// From the stop of a request to the moment in which its server noticed, the median of some.
milliseconds time_to_leave(ModelFixture& f, bool stream, const std::function<bool(int round)>& ready) {
    std::vector<milliseconds> times;
    for (int round = 0; round < 5; ++round) {
        std::unique_ptr<Completed> completed;
        const auto stopped = stop_when([&] { return ready(round); },
                                       [&](const Context& context) { completed = f.complete(stream, context); });
        CHECK(completed->code() == Code::client_gone);
        REQUIRE(f.server.wait_for_departures(static_cast<std::size_t>(round) + 1));
        const std::vector<Recorded> requests = f.server.requests();
        CHECK(requests.size() == static_cast<std::size_t>(round) + 1);
        REQUIRE(requests.back().left_at);
        times.push_back(std::chrono::duration_cast<milliseconds>(*requests.back().left_at - stopped));
    }
    return median(times);
}

}  // namespace

TEST_CASE("a stream that is cut before it says anything is asked for again") {
    for (const bool with_reset : {false, true}) {
        ModelFixture f(sequence({cut_stream({}, with_reset), cut_stream({""}, with_reset), chat_stream({"ok"})}));
        const auto completed = f.stream();
        REQUIRE_FALSE(completed->error);
        CHECK(completed->text() == "ok");
        CHECK(f.server.request_count() == 3);
        CHECK(f.model->counters().retries == 2);
        CHECK(completed->usage.tokens_in >= 12);  // what the cut ones have cost is known to nobody
    }
}

TEST_CASE("a stream that is cut in its middle is not, and what it took is metered") {
    for (const bool with_reset : {false, true}) {
        ModelFixture f(sequence({cut_stream({"1234", "5678"}, with_reset), chat_stream({"ok"})}));
        const auto completed = f.stream();
        CHECK(completed->code() == Code::upstream);
        CHECK(f.server.request_count() == 1);
        CHECK(completed->usage.estimated);
        CHECK(completed->usage.tokens_in == mt::estimate_tokens(f.request));
        if (!with_reset) {  // a reset may overtake what was sent
            CHECK(completed->text() == "12345678");
            CHECK(completed->usage.tokens_out == 2);
        }
    }
}

TEST_CASE("a stream that ends without an end is cut, however orderly") {
    ModelFixture f(stream_events({chat_delta("a")}));
    const auto completed = f.stream();
    CHECK(completed->code() == Code::upstream);
    CHECK(completed->error->message == "the model's server ended the answer in its middle");
    CHECK(completed->log.lines == Lines{"text a"});
}

TEST_CASE("wrong JSON and huge lines are the server's fault, and are not held in memory without end") {
    ModelFixture wrong(mt::test::wrong_json_stream());
    CHECK(wrong.stream()->code() == Code::upstream);
    CHECK(wrong.server.request_count() == 3);  // nothing was told before

    ModelFixture large(mt::test::huge_line(1'000'000));
    CHECK(large.stream()->text().size() == 1'000'000);

    ModelFixture huge(mt::test::huge_line(5UL * 1024 * 1024));
    huge.options.config.retries = 0;
    huge.build();
    CHECK(huge.stream()->code() == Code::upstream);
}

TEST_CASE("an error in mid-stream ends it, without another attempt") {
    ModelFixture f(sequence({stream_events({chat_delta("a"), R"({"error":{"message":"overloaded","code":"busy"}})"}),
                             chat_stream({"ok"})}));
    const auto completed = f.stream();
    CHECK(completed->code() == Code::upstream);
    CHECK(completed->error->message == "the model's server failed in its answer");
    CHECK(completed->error->detail == "busy");
    CHECK(completed->text() == "a");
    CHECK(f.server.request_count() == 1);

    ModelFixture early(sequence({stream_events({R"({"error":{"message":"overloaded"}})"}), chat_stream({"ok"})}));
    CHECK(early.stream()->text() == "ok");
    CHECK(early.server.request_count() == 2);
}

TEST_CASE("a slow first token is 504, whether there is a head or not") {
    const Latch never;
    for (const Script& slow : {mt::test::after(never, chat_stream({"x"})), mt::test::stalled_stream({}, never, {})}) {
        ModelFixture f(slow);
        f.options.config.first_token_timeout_ms = 50;
        f.build();
        CHECK(f.stream()->code() == Code::timeout);
        CHECK(f.server.request_count() == 1);
        CHECK(f.server.wait_for_departures(1));
    }
}

TEST_CASE("signs of life are no first token") {
    ModelFixture f([](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        while (out.chunk(": ping\n\n") && !out.wait_until_gone(milliseconds{5})) {
        }
    });
    f.options.config.first_token_timeout_ms = 60;
    f.build();
    CHECK(f.stream()->code() == Code::timeout);
}

TEST_CASE("a stream that stalls is 504, and what it took is metered") {
    const Latch never;
    ModelFixture f(mt::test::stalled_stream({"1234"}, never, {}));
    f.options.config.idle_timeout_ms = 50;
    f.build();
    const auto completed = f.stream();
    CHECK(completed->code() == Code::timeout);
    CHECK(completed->text() == "1234");
    CHECK(completed->usage.tokens_out == 1);
    CHECK(f.server.request_count() == 1);
    CHECK(f.server.wait_for_departures(1));
}

TEST_CASE("a stream may take longer than its first token may, but not longer than the whole") {
    const auto drip = [](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        while (out.event(chat_delta("x")) && !out.wait_until_gone(milliseconds{5})) {
        }
    };
    ModelFixture f(drip);
    f.options.config.first_token_timeout_ms = 100;
    f.options.config.idle_timeout_ms = 10'000;
    f.options.config.timeout_ms = 400;
    f.build();
    const auto start = std::chrono::steady_clock::now();
    CHECK(f.stream()->code() == Code::timeout);
    CHECK(std::chrono::steady_clock::now() - start >= milliseconds{400});
}

TEST_CASE("a client that leaves while nothing has come is noticed by the server at once") {
    for (const bool stream : {false, true}) {
        ModelFixture f([](const Recorded&, ScriptedReply& out) { out.keep_silent(); });
        CHECK(time_to_leave(f, stream, [&](int round) {
                  return f.server.wait_for_requests(static_cast<std::size_t>(round) + 1);
              }) <= k_cancelled_within);
        CHECK(f.model->counters().retries == 0);
    }
}

TEST_CASE("a client that leaves in mid-stream is noticed by the server at once") {
    const Latch never;
    ModelFixture f(mt::test::stalled_stream({"1234"}, never, {}));
    std::vector<milliseconds> times;
    for (std::size_t round = 1; round <= 5; ++round) {
        mt::test::EventLog log;
        mt::Usage usage;
        Latch came;
        log.on_line = [&] {
            came.open();
            return true;
        };
        mt::Result<void> done;
        mt::CompletionRequest request = f.request;
        request.stream = true;
        const auto stopped =
            stop_when([&] { return came.wait(); },
                      [&](const Context& context) { done = f.model->complete(request, log, usage, context); });
        REQUIRE_FALSE(done);
        CHECK(done.error().code == Code::client_gone);
        CHECK(usage.tokens_out == 1);
        CHECK(usage.estimated);
        REQUIRE(f.server.wait_for_departures(round));
        times.push_back(std::chrono::duration_cast<milliseconds>(*f.server.requests().back().left_at - stopped));
    }
    CHECK(median(times) <= k_cancelled_within);
    CHECK(f.server.request_count() == 5);
}

TEST_CASE("a sink that has enough stops the upstream") {
    const Latch never;
    ModelFixture f(mt::test::stalled_stream({"a", "b", "c"}, never, {}));
    mt::test::EventLog log;
    mt::Usage usage;
    log.on_line = [] { return false; };
    f.request.stream = true;
    const mt::Result<void> done = f.model->complete(f.request, log, usage, {});
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Code::client_gone);
    CHECK(log.lines == Lines{"text a"});
    CHECK(f.server.wait_for_departures(1));
    CHECK(f.server.request_count() == 1);
}

TEST_CASE("a client that leaves during the wait before a retry ends it at once") {
    ModelFixture f(mt::test::rate_limited("30"));
    std::vector<milliseconds> times;
    for (std::size_t round = 1; round <= 5; ++round) {
        std::unique_ptr<Completed> completed;
        std::chrono::steady_clock::time_point back;
        const auto stopped = stop_when(
            [&] {
                // The attempt has failed and is counted: what is left to it is the wait.
                while (f.model->counters().failed < static_cast<std::int64_t>(round)) {
                    std::this_thread::yield();
                }
                return true;
            },
            [&](const Context& context) {
                completed = f.stream(context);
                back = std::chrono::steady_clock::now();
            });
        CHECK(completed->code() == Code::client_gone);
        times.push_back(std::chrono::duration_cast<milliseconds>(back - stopped));
    }
    CHECK(median(times) <= k_cancelled_within);
    CHECK(f.server.request_count() == 5);
}
