#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/model_fixture.h"
#include "agent/trace_kit.h"
#include "base/trace.h"
#include "support/chat_scripts.h"
#include "support/fake_clock.h"
#include "support/scripted_upstream.h"

using namespace mt;
using namespace mt::test;

TEST_CASE("an attempt at a model's server is a span, and its server is told of it") {
    for (const bool stream : {false, true}) {
        ModelFixture f(chat({"secret ", "answer"}));
        f.request.messages = {{Role::user, "secret question"}};
        f.request.max_tokens = 77;
        Traced traced(f.clock);
        REQUIRE_FALSE(f.complete(stream, traced.context)->error);
        const auto& spans = traced.spans();
        REQUIRE(spans.size() == 1);
        const SpanRecord& span = spans[0];
        CHECK(span.name == "chat scripted-1");
        CHECK(span.kind == SpanKind::client);
        CHECK_FALSE(span.failed);
        CHECK(attribute(span, "gen_ai.operation.name") == "chat");
        CHECK(attribute(span, "gen_ai.provider.name") == "openai");
        CHECK(attribute(span, "gen_ai.request.model") == "scripted-1");
        CHECK(attribute(span, "gen_ai.request.max_tokens") == "77");
        CHECK(attribute(span, "gen_ai.response.model") == "scripted-1");
        CHECK(attribute(span, "gen_ai.response.finish_reasons") == "stop");
        CHECK(attribute(span, "gen_ai.usage.input_tokens") == "12");
        CHECK(attribute(span, "gen_ai.usage.output_tokens") == "7");
        CHECK(attribute(span, "server.address") == "127.0.0.1");
        CHECK(attribute(span, "server.port") == std::to_string(f.server.port()));
        CHECK(attribute(span, "http.response.status_code") == "200");
        CHECK(attribute(span, "http.request.resend_count").empty());
        CHECK(has_distinct_attributes(span));
        CHECK_FALSE(mentions(spans, "secret"));
        CHECK_FALSE(mentions(spans, k_key));
        const Recorded request = f.server.requests().at(0);
        CHECK(request.field("traceparent") == traceparent_of(span));
        CHECK(request.field("tracestate") == k_state);
        CHECK(count_fields(request, "traceparent") == 1);
    }
}

TEST_CASE("a span says only what is known") {
    ModelFixture f(chat({"answer"}, std::nullopt));
    Traced traced(f.clock, true, "");
    REQUIRE_FALSE(f.stream(traced.context)->error);
    const SpanRecord& span = traced.spans().at(0);
    CHECK(attribute(span, "gen_ai.usage.input_tokens").empty());
    CHECK(attribute(span, "gen_ai.usage.output_tokens").empty());
    CHECK(attribute(span, "gen_ai.request.max_tokens").empty());
    CHECK(count_fields(f.server.requests().at(0), "tracestate") == 0);
}

TEST_CASE("the model that answers is what the server names at its top, in one of its first events") {
    const std::string nested = R"({"choices":[{"index":0,"delta":{"model":"nested","content":"a"}}],"model":""})";
    const std::string named = R"({"model":"gpt\u002d9","choices":[{"index":0,"delta":{},"finish_reason":"length"}]})";
    const std::string other = R"({"model":"other","choices":[]})";
    ModelFixture f([&](const Recorded&, ScriptedReply& out) {
        if (out.start_stream() && out.event(nested) && out.event(named) && out.event(other) && out.event("[DONE]")) {
            out.finish();
        }
    });
    Traced traced(f.clock);
    REQUIRE_FALSE(f.stream(traced.context)->error);
    const SpanRecord& span = traced.spans().at(0);
    CHECK(attribute(span, "gen_ai.response.model") == "gpt-9");
    CHECK(attribute(span, "gen_ai.response.finish_reasons") == "length");
    CHECK(has_distinct_attributes(span));
}

TEST_CASE("a failed attempt and its retry are two spans side by side, and the pause is in neither") {
    ModelFixture f(sequence({chat_error(503), chat({"answer"})}));
    f.options.retry.first = milliseconds{20};
    f.options.retry.longest = milliseconds{20};
    f.build();
    Traced traced(f.clock);
    {
        const Span outer(&traced.trace, SpanKind::server, "POST");
        REQUIRE_FALSE(f.complete(false, traced.context)->error);
    }
    const auto& spans = traced.spans();
    REQUIRE(spans.size() == 3);
    CHECK(spans[1].failed);
    CHECK(attribute(spans[1], "error.type") == "upstream");
    CHECK(attribute(spans[1], "http.response.status_code") == "503");
    CHECK(attribute(spans[1], "http.request.resend_count").empty());
    CHECK_FALSE(spans[2].failed);
    CHECK(attribute(spans[2], "http.request.resend_count") == "1");
    CHECK(attribute(spans[2], "http.response.status_code") == "200");
    CHECK(spans[1].parent_id == spans[0].span_id);
    CHECK(spans[2].parent_id == spans[0].span_id);
    // The jitter takes at most half of the pause.
    CHECK(spans[2].start_unix_ns - spans[1].end_unix_ns >= 10'000'000);
    const auto requests = f.server.requests();
    CHECK(requests.at(0).field("traceparent") == traceparent_of(spans[1]));
    CHECK(requests.at(1).field("traceparent") == traceparent_of(spans[2]));
    REQUIRE(traced.trace.upstream_ns().size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(traced.trace.upstream_ns()[i] == spans[i + 1].end_unix_ns - spans[i + 1].start_unix_ns);
    }
}

TEST_CASE("a span lasts until the end of a streamed reply") {
    Latch latch;
    ModelFixture f(stalled_stream({"first"}, latch, {"last"}));
    FakeClock clock;
    Traced traced(clock);
    auto log = std::make_unique<EventLog>();
    bool opened = false;
    log->on_line = [&] {
        if (!std::exchange(opened, true)) {
            CHECK(traced.trace.upstream_ns().empty());
            clock.advance(std::chrono::seconds{3});
            latch.open();
        }
        return true;
    };
    CompletionRequest request = f.request;
    request.stream = true;
    Usage usage;
    REQUIRE(f.model->complete(request, *log, usage, traced.context));
    CHECK(traced.trace.upstream_ns() == std::vector<std::int64_t>{3'000'000'000});
}

TEST_CASE("each way to fail ends the span with its code") {
    struct Row {
        Script script;
        std::string type;
        std::string status;
    };
    for (const Row& row :
         std::vector<Row>{{chat_error(400), "invalid", "400"},
                          {chat_error(401), "upstream", "401"},
                          {wrong_json_stream(), "upstream", "200"},
                          {cut_stream({"a"}), "upstream", "200"},
                          {[](const Recorded&, ScriptedReply& out) { out.reset(); }, "upstream", ""},
                          {[](const Recorded&, ScriptedReply& out) { out.keep_silent(); }, "timeout", ""}}) {
        ModelFixture f(row.script);
        f.options.retry.retries = 0;
        f.options.config.retries = 0;
        f.options.config.first_token_timeout_ms = 50;
        f.build();
        Traced traced(f.clock);
        REQUIRE(f.stream(traced.context)->error);
        const auto& spans = traced.spans();
        REQUIRE(spans.size() == 1);
        CHECK(spans[0].failed);
        CHECK(attribute(spans[0], "error.type") == row.type);
        CHECK(attribute(spans[0], "http.response.status_code") == row.status);
        CHECK(has_distinct_attributes(spans[0]));
        CHECK(spans[0].end_unix_ns >= spans[0].start_unix_ns);
    }
}

TEST_CASE("a client that leaves ends the span, and a breaker that is open makes none") {
    ModelFixture f(chat({"a", "b"}));
    f.options.config.retries = 0;
    f.options.breaker.failures = 1;
    f.build();
    Traced traced(f.clock);
    EventLog log;
    log.on_line = [] { return false; };
    CompletionRequest request = f.request;
    request.stream = true;
    Usage usage;
    CHECK_FALSE(f.model->complete(request, log, usage, traced.context));
    f.server.set_script(chat_error(500));
    CHECK(f.complete(false, traced.context)->error);
    CHECK(f.complete(false, traced.context)->error->reason == "breaker_open");
    const auto& spans = traced.spans();
    REQUIRE(spans.size() == 2);
    CHECK(attribute(spans[0], "error.type") == "client_gone");
    CHECK(attribute(spans[1], "error.type") == "upstream");
}

TEST_CASE("what is not sampled is still passed on and timed, and without a trace nothing is") {
    ModelFixture f(chat({"answer"}));
    Traced traced(f.clock, false);
    REQUIRE_FALSE(f.complete(false, traced.context)->error);
    CHECK(traced.spans().empty());
    CHECK(traced.trace.upstream_ns().size() == 1);
    CHECK(f.server.requests().at(0).field("traceparent") == k_parent);  // as it came
    CHECK(f.server.requests().at(0).field("tracestate") == k_state);
    REQUIRE_FALSE(f.complete()->error);
    Trace unbegun;
    Context context;
    context.trace = &unbegun;
    REQUIRE_FALSE(f.complete(false, context)->error);
    for (const std::size_t i : {1, 2}) {
        CHECK(count_fields(f.server.requests().at(i), "traceparent") == 0);
        CHECK(count_fields(f.server.requests().at(i), "tracestate") == 0);
    }
}

TEST_CASE("a server's words that are no names go into no span") {
    for (const std::string& words : {std::string(100'000, 'm'), std::string("the question itself")}) {
        ModelFixture f(reply(200, R"({"model":")" + words +
                                      R"(","choices":[{"message":{"content":"a"},"finish_reason":")" + words +
                                      R"("}]})"));
        Traced traced(f.clock);
        REQUIRE_FALSE(f.complete(false, traced.context)->error);
        const SpanRecord& span = traced.spans().at(0);
        CHECK(attribute(span, "gen_ai.response.model").empty());
        CHECK(attribute(span, "gen_ai.response.finish_reasons").empty());
    }
}
