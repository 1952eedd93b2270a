#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/model_fixture.h"

namespace {

using mt::Code;
using mt::Context;
using mt::test::chat_delta;
using mt::test::chat_error;
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
using Json = nlohmann::json;

// The bound of the issue: a client that hangs up cancels the upstream call within this time.
constexpr milliseconds k_cancelled_within{100};

Script stream_events(std::vector<std::string> events, bool finished = true) {
    return [events = std::move(events), finished](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        for (const std::string& event : events) {
            out.event(event);
        }
        if (finished) {
            out.finish();
        } else {
            out.keep_silent();
        }
    };
}

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

TEST_CASE("a stream passes piece by piece") {
    Latch latch;
    ModelFixture f(mt::test::stalled_stream({"one"}, latch, {" two"}));
    mt::test::EventLog log;
    log.on_line = [&] {
        latch.open();  // the server goes on only once the first piece is here
        return true;
    };
    mt::Usage usage;
    f.request.stream = true;
    REQUIRE(f.model->complete(f.request, log, usage, {}));
    CHECK(log.lines == Lines{"text one", "text  two", "finish stop"});
    CHECK(usage.total() == 19);
    CHECK_FALSE(usage.estimated);
    const Json body = Json::parse(f.server.requests().at(0).body);
    CHECK(body["stream"] == true);
    CHECK(body["stream_options"]["include_usage"] == true);
    CHECK(f.model->counters().first_tokens == 1);
}

TEST_CASE("pieces that arrived together are announced") {
    ModelFixture f([](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        out.chunk("data: " + chat_delta("a") + "\n\ndata: " + chat_delta("b") + "\n\n");
        out.event("[DONE]");
        out.finish();
    });
    const auto completed = f.stream();
    REQUIRE_FALSE(completed->error);
    CHECK(completed->log.lines == Lines{"text a", "text b", "finish stop"});
    CHECK(completed->log.more.substr(0, 1) == "+");
}

TEST_CASE("a stream's connection is used again, also by a server that never says [DONE]") {
    ModelFixture f(
        sequence({chat_stream({"a"}),
                  stream_events({chat_delta("b"), R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"}),
                  chat_stream({"c"})}));
    for (const char* text : {"a", "b", "c"}) {
        CHECK(f.stream()->text() == text);
    }
    CHECK(f.server.connections() == 1);
}

TEST_CASE("the end of a stream may come some time after [DONE]") {
    // How long is waited for it is short, and the machine may be busy: one of many streams is enough.
    std::array<Latch, 50> told;
    ModelFixture f([&](const Recorded& request, ScriptedReply& out) {
        out.start_stream();
        out.event(chat_delta("a"));
        out.event("[DONE]");
        if (out.wait_for(told.at(static_cast<std::size_t>(request.number)))) {
            out.finish();
        }
    });
    f.request.stream = true;
    std::size_t asked = 0;
    while (f.server.connections() == asked && asked < told.size()) {
        mt::test::EventLog log;
        mt::Usage usage;
        log.on_line = [&] {
            if (log.lines.back() == "finish stop") {
                told.at(asked).open();
            }
            return true;
        };
        CHECK(f.model->complete(f.request, log, usage, {}));
        ++asked;
    }
    CHECK(f.server.connections() < asked);
}

TEST_CASE("a server that says [DONE] and leaves its stream open holds nobody up") {
    ModelFixture f(stream_events({chat_delta("a"), "[DONE]"}, false));
    const auto completed = f.stream();
    CHECK_FALSE(completed->error);
    CHECK(completed->text() == "a");
    CHECK(f.server.wait_for_departures(1));
}

TEST_CASE("calls in small deltas, several in one turn") {
    ModelFixture f(mt::test::tool_stream({{"a", "add", R"({"x":1,"y":2})"}, {"b", "sub", "{}"}}, {}, 1));
    const auto completed = f.stream();
    REQUIRE_FALSE(completed->error);
    const mt::Choice& choice = completed->log.assembly.first();
    REQUIRE(choice.tool_calls.size() == 2);
    CHECK(choice.tool_calls[0] == mt::ToolCall{"a", "add", R"({"x":1,"y":2})"});
    CHECK(choice.tool_calls[1] == mt::ToolCall{"b", "sub", "{}"});
    CHECK(choice.finish_reason == "tool_calls");
    CHECK(completed->log.lines.size() == 2 + 13 + 2 + 1);
}

TEST_CASE("usage of a stream: in its last chunk, in each chunk, or nowhere") {
    ModelFixture f(sequence({chat_stream({"1234"}, mt::test::ChatUsage{30, 4}), chat_stream({"1234"}, std::nullopt),
                             stream_events({R"({"choices":[{"index":0,"delta":{"content":"x"}}],)"
                                            R"("usage":{"prompt_tokens":5,"completion_tokens":1}})",
                                            R"({"choices":[{"index":0,"delta":{"content":"y"}}],)"
                                            R"("usage":{"prompt_tokens":5,"completion_tokens":2}})",
                                            "[DONE]"})}));
    CHECK(f.stream()->usage.total() == 34);
    const auto estimated = f.stream();
    CHECK(estimated->usage.estimated);
    CHECK(estimated->usage.tokens_in == mt::estimate_tokens(f.request));
    CHECK(estimated->usage.tokens_out == 1);
    const auto each = f.stream();
    CHECK(each->usage.total() == 7);
    CHECK_FALSE(each->usage.estimated);
}

TEST_CASE("several choices, fields that we do not know, log probabilities") {
    ModelFixture f(stream_events({R"({"choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"hm"}}]})",
                                  R"({"choices":[{"index":1,"delta":{"content":"b"},"logprobs":{"content":[]}}]})",
                                  R"({"choices":[{"index":0,"delta":{"content":"a"}}]})",
                                  R"({"choices":[{"index":1,"delta":{},"finish_reason":"length"}]})",
                                  R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})", "[DONE]"}));
    f.request.options = R"({"n":2})";
    const auto completed = f.stream();
    REQUIRE_FALSE(completed->error);
    CHECK(completed->log.lines == Lines{R"(fields {"reasoning_content":"hm"})", R"(1: logprobs {"content":[]})",
                                        "1: text b", "text a", "1: finish length", "finish stop"});
    CHECK(Json::parse(f.server.requests().at(0).body)["n"] == 2);
}

TEST_CASE("comments and fields of the stream that are no data do not matter") {
    ModelFixture f([](const Recorded&, ScriptedReply& out) {
        out.start_stream(200, {{"Content-Type", "text/event-stream; charset=utf-8"}});
        out.chunk(": ping\r\n\r\nevent: x\r\nid: 7\r\ndata: " + chat_delta("a") + "\r\n\r\n: pi");
        out.chunk("ng\n\ndata: [DONE]\n\n");
        out.finish();
    });
    CHECK(f.stream()->log.lines == Lines{"text a", "finish stop"});
}

TEST_CASE("a server that answers a streaming request in one piece is understood") {
    ModelFixture f(mt::test::chat_reply("whole"));
    const auto completed = f.stream();
    REQUIRE_FALSE(completed->error);
    CHECK(completed->log.lines == Lines{"text whole", "finish stop"});
    CHECK(completed->usage.total() == 19);
}

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

TEST_CASE("whoever waits for a model is shown signs of life") {
    class Hook final : public mt::IdleHook {
      public:
        explicit Hook(Latch& latch) : m_latch(latch) {}
        void on_idle() override { m_latch.open(); }

      private:
        Latch& m_latch;
    };
    Latch idle;
    Hook hook(idle);
    Context context;
    context.idle = &hook;
    ModelFixture f(mt::test::after(idle, chat_stream({"ok"})));
    CHECK(f.stream(context)->text() == "ok");
}
