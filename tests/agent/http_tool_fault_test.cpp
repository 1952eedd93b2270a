// What goes wrong on the way to a tool, and who is told.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/agent_fixture.h"
#include "agent/http_tool_kit.h"
#include "agent/model_fixture.h"
#include "support/scripted_upstream.h"

namespace {

using mt::Code;
using mt::Context;
using mt::Result;
using mt::test::AgentFixture;
using mt::test::keep_silent;
using mt::test::milliseconds;
using mt::test::Recorded;
using mt::test::reply;
using mt::test::Script;
using mt::test::ScriptedModel;
using mt::test::ScriptedReply;
using mt::test::ScriptedStep;
using mt::test::ScriptedUpstream;
using mt::test::ToolFixture;

}  // namespace

TEST_CASE("a reply larger than allowed is not read to its end") {
    ToolFixture f([](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        while (out.chunk(std::string(10'000, 'x'))) {
        }
    });
    CHECK(f.told() == "the reply of the tool orders is larger than 65.5 kB");
    CHECK(f.server.wait_for_departures(1));
    for (const std::size_t size : {65'535UL, 65'536UL, 65'537UL}) {
        f.server.set_script(reply(200, std::string(size, 'x')));
        const Result<std::string> result = f.call();
        CHECK(result.has_value() == (size <= 65'536));
        if (result) {
            CHECK(result->size() == size);
        }
    }
}

TEST_CASE("a tool that is late, with its head or within its reply, is told to the model") {
    const Script stalled = [](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        out.chunk("x");
        out.keep_silent();
    };
    for (const Script& slow : {Script(keep_silent), stalled}) {
        ToolFixture f(slow);
        f.config.timeout_ms = 50;
        CHECK(f.told() == "the tool orders did not answer within 50ms");
        CHECK(f.server.wait_for_departures(1));
    }
    ToolFixture drip([](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        while (out.chunk("x") && !out.wait_until_gone(milliseconds{5})) {
        }
    });
    drip.config.timeout_ms = 80;
    CHECK(drip.told() == "the tool orders did not answer within 80ms");

    const mt::test::FullPort full;
    ToolFixture unreachable;
    unreachable.config.url = "http://127.0.0.1:" + std::to_string(full.port());
    unreachable.config.timeout_ms = 50;
    CHECK(unreachable.told() == "the tool orders did not answer within 50ms");
}

TEST_CASE("the request's own time ends the request, not the tool alone") {
    ToolFixture f(keep_silent);
    f.context.deadline_ns = f.clock.boot_ns() + 50'000'000;
    const Result<std::string> result = f.call();
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Code::timeout);
}

TEST_CASE("a connection that cannot be made, breaks, or speaks no HTTP is told to the model") {
    ToolFixture away;
    away.config.url = [] { return ScriptedUpstream(reply(200, "x")).url("/x"); }();
    CHECK(away.told() == "the server of the tool orders cannot be reached");
    for (const char* bytes : {"", "SSH-2.0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"}) {
        ToolFixture f([=](const Recorded&, ScriptedReply& out) {
            out.raw(bytes);
            out.cut();
        });
        CHECK(f.told() == "the server of the tool orders gave no usable reply");
    }
    ToolFixture cut([](const Recorded&, ScriptedReply& out) {
        out.raw("HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nhalf");
        out.cut();
    });
    CHECK(cut.told() == "the tool orders answered with status 500");
}

TEST_CASE("an address that the rule forbids is not asked, by whatever name") {
    for (const char* host : {"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254"}) {
        ToolFixture f;
        f.config.url = "http://" + std::string(host) + ":" + std::to_string(f.server.port()) + "/";
        f.rule.public_only = true;
        CHECK(f.told() == "this tool's address is not allowed");
        CHECK(f.server.connections() == 0);
    }
}

TEST_CASE("a client that leaves ends the call at once") {
    ToolFixture f(keep_silent);
    REQUIRE_FALSE(f.call("no object"));  // makes the tool
    std::vector<milliseconds> times;
    for (std::size_t round = 1; round <= 5; ++round) {
        Result<std::string> result = std::string();
        const auto stopped = mt::test::stop_when([&] { return f.server.wait_for_requests(round); },
                                                 [&](const Context& context) {
                                                     result = f.tool->call("{}", {*f.store, f.clock}, context);
                                                 });
        REQUIRE_FALSE(result);
        CHECK(result.error().code == Code::client_gone);
        REQUIRE(f.server.wait_for_departures(round));
        times.push_back(std::chrono::duration_cast<milliseconds>(*f.server.requests().back().left_at - stopped));
    }
    CHECK(mt::test::median(times) <= milliseconds{100});
}

TEST_CASE("in the loop a failure goes back to the model, which answers without the tool") {
    ToolFixture product(reply(503, "closed"));
    std::vector<std::unique_ptr<mt::Tool>> tools;
    tools.push_back(std::move(*product.make()));
    AgentFixture f(std::make_shared<ScriptedModel>(std::vector<ScriptedStep>{
        {.calls = {{"a", "orders", R"({"id":"42"})"}, {"b", "orders", "{"}}}, {.pieces = {"Sorry."}}}));
    f.tools = std::make_shared<const mt::ToolBox>(std::move(tools));
    f.profile.tools = {"orders"};
    f.build();
    const auto answer = f.ask("Where is order 42?");
    REQUIRE(answer);
    CHECK(answer->choice.text == "Sorry.");
    CHECK_FALSE(answer->pure);
    const auto requests = static_cast<ScriptedModel&>(*f.model).requests();
    REQUIRE(requests.at(1).messages.size() == 4);
    CHECK(requests[1].messages[2].content == "error: the tool orders answered with status 503: closed");
    CHECK(requests[1].messages[3].content == "error: the arguments '{' are no JSON");
    CHECK(product.sent().field("X-Tenant-ID") == "tenant-basic");
    CHECK(product.server.request_count() == 1);
}
