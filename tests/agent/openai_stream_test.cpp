#include <doctest/doctest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "agent/model_fixture.h"
#include "agent/stream_kit.h"

namespace {

using mt::Context;
using mt::test::chat_delta;
using mt::test::chat_stream;
using mt::test::Latch;
using mt::test::Lines;
using mt::test::ModelFixture;
using mt::test::Recorded;
using mt::test::ScriptedReply;
using mt::test::sequence;
using mt::test::stream_events;
using Json = nlohmann::json;

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
