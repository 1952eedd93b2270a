#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/agent_fixture.h"
#include "agent/model_fixture.h"
#include "agent/trace_kit.h"
#include "base/trace.h"
#include "support/chat_scripts.h"
#include "support/scripted_upstream.h"

using namespace mt;
using namespace mt::test;

TEST_CASE("a call of an HTTP tool is a span without its address, and its server is told of it") {
    TracedTool tool;
    tool.headers = {{"Authorization", "Bearer secret-key"}};
    Traced traced(tool.clock);
    REQUIRE(tool.call(traced.context));
    const auto& spans = traced.spans();
    REQUIRE(spans.size() == 1);
    CHECK(spans[0].name == "GET");
    CHECK(spans[0].kind == SpanKind::client);
    CHECK_FALSE(spans[0].failed);
    CHECK(attribute(spans[0], "http.request.method") == "GET");
    CHECK(attribute(spans[0], "server.address") == "127.0.0.1");
    CHECK(attribute(spans[0], "server.port") == std::to_string(tool.server.port()));
    CHECK(attribute(spans[0], "http.response.status_code") == "200");
    for (const std::string_view word : {"secret", "orders", "product"}) {
        CHECK_FALSE(mentions(spans, word));
    }
    const Recorded request = tool.server.requests().at(0);
    CHECK(request.field("traceparent") == traceparent_of(spans[0]));
    CHECK(request.field("tracestate") == k_state);
    CHECK(traced.trace.upstream_ns().size() == 1);
}

TEST_CASE("a traceparent of the configuration is not doubled") {
    TracedTool tool;
    tool.headers = {{"TraceParent", "mine"}};
    Traced traced(tool.clock);
    REQUIRE(tool.call(traced.context));
    const Recorded request = tool.server.requests().at(0);
    CHECK(count_fields(request, "traceparent") == 1);
    CHECK(request.field("traceparent") == "mine");
    CHECK(count_fields(request, "tracestate") == 0);  // it would belong to another parent
}

TEST_CASE("an HTTP tool that fails says how") {
    struct Row {
        Script script;
        std::string type;
        std::string status;
    };
    const std::string large(100, 'x');
    for (const Row& row :
         std::vector<Row>{{reply(404, "no"), "404", "404"},
                          {reply(500, large), "500", "500"},
                          {reply(200, large), "too_large", "200"},
                          {reply(302, ""), "", "302"},
                          {[](const Recorded&, ScriptedReply& out) { out.keep_silent(); }, "timeout", ""},
                          {[](const Recorded&, ScriptedReply& out) { out.cut(); }, "upstream", ""}}) {
        TracedTool tool(row.script);
        tool.config.timeout_ms = 100;
        tool.config.max_size = 50;
        Traced traced(tool.clock);
        CHECK_FALSE(tool.call(traced.context));
        const SpanRecord& span = traced.spans().at(0);
        CHECK(span.failed == !row.type.empty());
        CHECK(attribute(span, "error.type") == row.type);
        CHECK(attribute(span, "http.response.status_code") == row.status);
        CHECK(has_distinct_attributes(span));
    }
}

TEST_CASE("a question with a tool is a tree: model, tool with its call, model") {
    TracedTool product;
    ModelFixture model(
        sequence({tools({{"call-7", "orders", R"({"id":"secret-argument"})"}}), chat({"secret answer"})}));
    AgentFixture agent(model.model);
    auto tools = make_builtin_tools();
    tools.push_back(product.make());
    agent.tools = std::make_shared<const ToolBox>(std::move(tools));
    agent.profile.tools.emplace_back("orders");
    agent.build();
    Traced traced(model.clock);
    traced.context.stop = agent.context.stop;
    agent.context.trace = traced.context.trace;
    {
        const Span outer(&traced.trace, SpanKind::server, "POST", "/{tenant}");
        REQUIRE(agent.ask("secret question"));
    }
    const auto& spans = traced.spans();
    REQUIRE(spans.size() == 5);
    const std::vector<std::string> names{"POST /{tenant}", "chat scripted-1", "execute_tool orders", "GET",
                                         "chat scripted-1"};
    const std::vector<std::size_t> parents{0, 0, 0, 2, 0};
    for (std::size_t i = 0; i < spans.size(); ++i) {
        CHECK(spans[i].name == names[i]);
        CHECK_FALSE(spans[i].failed);
        CHECK(spans[i].trace_id == parse_traceparent(k_parent)->trace_id);
        if (i > 0) {
            CHECK(spans[i].parent_id == spans[parents[i]].span_id);
            CHECK(spans[i].start_unix_ns >= spans[parents[i]].start_unix_ns);
            CHECK(spans[i].end_unix_ns <= spans[parents[i]].end_unix_ns);
        }
    }
    CHECK(spans[2].kind == SpanKind::internal);
    CHECK(attribute(spans[2], "gen_ai.operation.name") == "execute_tool");
    CHECK(attribute(spans[2], "gen_ai.tool.name") == "orders");
    CHECK(attribute(spans[2], "gen_ai.tool.call.id") == "call-7");
    CHECK(attribute(spans[2], "gen_ai.tool.type") == "function");
    CHECK(attribute(spans[1], "gen_ai.response.finish_reasons") == "tool_calls");
    CHECK_FALSE(mentions(spans, "secret"));
    CHECK(product.server.requests().at(0).field("traceparent") == traceparent_of(spans[3]));
    CHECK(model.server.requests().at(1).field("traceparent") == traceparent_of(spans[4]));
    CHECK(traced.trace.upstream_ns().size() == 3);
}

TEST_CASE("a tool that errs fails its span, though the model may go on") {
    ModelFixture model(
        sequence({tools({{"call-1", "calculator", R"({"expression":"1/0"})"}}), chat({"it cannot be done"})}));
    AgentFixture agent(model.model);
    Traced traced(model.clock);
    agent.context.trace = traced.context.trace;
    REQUIRE(agent.ask("1/0?"));
    const auto& spans = traced.spans();
    REQUIRE(spans.size() == 3);
    CHECK(spans[1].name == "execute_tool calculator");
    CHECK(spans[1].failed);
    CHECK(attribute(spans[1], "error.type") == "invalid");
    CHECK_FALSE(spans[2].failed);
}
