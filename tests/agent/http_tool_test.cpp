#include "agent/http_tool.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "agent/agent_fixture.h"
#include "agent/model_fixture.h"
#include "support/scripted_upstream.h"

namespace {

using mt::Code;
using mt::Context;
using mt::Result;
using mt::test::AgentFixture;
using mt::test::Latch;
using mt::test::milliseconds;
using mt::test::Recorded;
using mt::test::Script;
using mt::test::ScriptedModel;
using mt::test::ScriptedReply;
using mt::test::ScriptedStep;
using mt::test::ScriptedUpstream;
using mt::test::ScriptFields;
using Headers = std::vector<std::pair<std::string, std::string>>;
using Json = nlohmann::json;

constexpr const char* k_schema =
    R"({"type":"object","properties":{"id":{},"q":{},"list":{},"flag":{}},"additionalProperties":true})";

Script reply(int status, const std::string& body, const ScriptFields& fields = {}) {
    return [=](const Recorded&, ScriptedReply& out) { out.send(status, body, fields); };
}

void keep_silent(const Recorded&, ScriptedReply& out) {
    out.keep_silent();
}

// A tool of the product that a scripted server plays.
struct ToolFixture {
    explicit ToolFixture(Script script = reply(200, "ok")) : server(std::move(script)) {
        config.name = "orders";
        config.description = "Looks up orders.";
        config.parameters = k_schema;
        config.url = server.url("/orders");
        context.tenant = "tenant-basic";
        context.request_id = "request-1";
    }

    Result<std::unique_ptr<mt::Tool>> make() { return mt::make_http_tool(config, headers, rule, clock); }

    Result<std::string> call(const std::string& arguments = "{}") {
        if (!tool) {
            Result<std::unique_ptr<mt::Tool>> made = make();
            REQUIRE(made);
            tool = std::move(*made);
        }
        return tool->call(arguments, {*store, clock}, context);
    }

    /// The message of a call that the model is to hear of.
    std::string told(const std::string& arguments = "{}") {
        const Result<std::string> result = call(arguments);
        REQUIRE_FALSE(result);
        CHECK(result.error().code == Code::invalid);
        return result.error().message;
    }

    /// What the last request was.
    [[nodiscard]] Recorded sent() const { return server.requests().back(); }

    mt::SystemClock clock;
    mt::test::MemoryStore store{clock};
    ScriptedUpstream server;
    mt::ToolConfig config{};
    Headers headers{};
    mt::http::AddressRule rule{};
    Context context{};
    std::unique_ptr<mt::Tool> tool{};
};

// The message of a configuration that is no good.
std::string refused(const mt::ToolConfig& config, const Headers& headers = {}) {
    const mt::SystemClock clock;
    const Result<std::unique_ptr<mt::Tool>> made = mt::make_http_tool(config, headers, {}, clock);
    if (made) {
        return "";
    }
    CHECK(made.error().code == Code::config);
    CHECK(made.error().message.starts_with("tool 'orders': "));
    return made.error().message.substr(15);
}

}  // namespace

TEST_CASE("a tool is what its configuration says") {
    ToolFixture f;
    f.config.pure = true;
    const auto made = f.make();
    REQUIRE(made);
    CHECK((*made)->spec().name == "orders");
    CHECK((*made)->spec().description == "Looks up orders.");
    CHECK((*made)->spec().parameters == k_schema);
    CHECK((*made)->pure());
    CHECK((*made)->feature().empty());
    f.config.pure = false;
    f.config.parameters.clear();
    const auto bare = f.make();
    REQUIRE(bare);
    CHECK_FALSE((*bare)->pure());
    CHECK(mt::ToolBox::check_arguments(**bare, "{}"));
}

TEST_CASE("arguments go into the body of POST, PUT and PATCH") {
    for (const char* method : {"POST", "PUT", "PATCH"}) {
        ToolFixture f;
        f.config.method = method;
        CHECK(*f.call(R"({"q":"a\"b","list":[1,{"x":2}],"flag":true,"none":null})") == "ok");
        CHECK(f.sent().method == method);
        CHECK(f.sent().target == "/orders");
        CHECK(f.sent().field("Content-Type") == "application/json");
        CHECK(Json::parse(f.sent().body) == Json::parse(R"({"q":"a\"b","list":[1,{"x":2}],"flag":true,"none":null})"));
        CHECK(*f.call() == "ok");
        CHECK(f.sent().body == "{}");
    }
}

TEST_CASE("arguments go into the query of GET and DELETE") {
    for (const char* method : {"GET", "DELETE"}) {
        ToolFixture f;
        f.config.method = method;
        CHECK(*f.call(R"({"q":"a b&c","list":[1,"x"],"flag":true,"id":1.5,"none":null})") == "ok");
        CHECK(f.sent().method == method);
        CHECK(f.sent().target == "/orders?flag=true&id=1.5&list=%5B1%2C%22x%22%5D&q=a%20b%26c");
        CHECK(f.sent().body.empty());
        CHECK(f.sent().field("Content-Type").empty());
        CHECK(*f.call() == "ok");
        CHECK(f.sent().target == "/orders");
    }
    ToolFixture f;
    f.config.method = "GET";
    f.config.url += "?v=1";
    CHECK(*f.call(R"({"q":"x"})") == "ok");
    CHECK(f.sent().target == "/orders?v=1&q=x");
}

TEST_CASE("what the address names goes there, and nowhere else") {
    ToolFixture f;
    f.config.url += "/{id}/items?flag={flag}";
    CHECK(*f.call(R"({"id":"a/b","flag":false,"q":"x"})") == "ok");
    CHECK(f.sent().target == "/orders/a%2Fb/items?flag=false");
    CHECK(Json::parse(f.sent().body) == Json{{"q", "x"}});
    CHECK(*f.call(R"({"id":42,"flag":[1]})") == "ok");
    CHECK(f.sent().target == "/orders/42/items?flag=%5B1%5D");
    CHECK(f.told(R"({"flag":1})") == "field 'id' is missing: the address needs it");
    CHECK(f.told(R"({"id":null,"flag":1})") == "field 'id' is missing: the address needs it");
    CHECK(f.told(R"({"id":"..","flag":1})") == "'.' and '..' are no parts of an address here");
    CHECK(f.told("[]") == "the arguments must be a JSON object");
    CHECK(f.server.request_count() == 2);
}

TEST_CASE("the product learns for whom it works, and nobody else can say so") {
    ToolFixture f;
    f.headers = {
        {"Authorization", "Bearer abc"}, {"x-tenant-id", "someone-else"}, {"X-REQUEST-ID", "7"}, {"X-Shop", "main"}};
    CHECK(*f.call() == "ok");
    CHECK(f.sent().field("X-Tenant-ID") == "tenant-basic");
    CHECK(f.sent().field("X-Request-Id") == "request-1");
    CHECK(f.sent().field("Authorization") == "Bearer abc");
    CHECK(f.sent().field("X-Shop") == "main");
    const auto& fields = f.sent().fields;
    CHECK(std::count_if(fields.begin(), fields.end(),
                        [](const auto& field) { return field.second == "someone-else" || field.second == "7"; }) == 0);
}

TEST_CASE("a type of the body that was configured holds") {
    ToolFixture f;
    f.headers = {{"content-type", "application/merge-patch+json"}};
    CHECK(*f.call() == "ok");
    const auto& fields = f.sent().fields;
    CHECK(std::count_if(fields.begin(), fields.end(),
                        [](const auto& field) { return field.second.starts_with("application/"); }) == 1);
    CHECK(f.sent().field("Content-Type") == "application/merge-patch+json");
}

TEST_CASE("calls share connections, also after a refusal") {
    ToolFixture f;
    CHECK(*f.call() == "ok");
    f.server.set_script(reply(404, "no such order"));
    CHECK(f.told() == "the tool orders answered with status 404: no such order");
    f.server.set_script(reply(200, ""));
    CHECK(f.call()->empty());
    CHECK(f.server.connections() == 1);
}

TEST_CASE("the reply's body is the result, as UTF-8") {
    ToolFixture f(reply(201, "caf\xe9 \xe2\x82\xac"));
    CHECK(*f.call() == "caf\xef\xbf\xbd \xe2\x82\xac");
    f.server.set_script([](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        out.chunk("in ");
        out.chunk("pieces");
        out.finish();
    });
    CHECK(*f.call() == "in pieces");
}

TEST_CASE("a status that is no success goes back to the model, redirects too") {
    for (const int status : {300, 302, 307, 400, 401, 403, 429, 500, 503}) {
        ToolFixture f(reply(status, "why", {{"Location", "/elsewhere"}}));
        CHECK(f.told() == "the tool orders answered with status " + std::to_string(status) + ": why");
        CHECK(f.server.request_count() == 1);
    }
    ToolFixture f(reply(500, std::string(499, 'x') + "\xe2\x82\xac and more"));
    CHECK(f.told() == "the tool orders answered with status 500: " + std::string(499, 'x') + "...");
    ToolFixture silent(reply(500, ""));
    CHECK(silent.told() == "the tool orders answered with status 500");
    ToolFixture large(reply(500, std::string(100'000, 'x')));
    large.config.max_size = 10;
    CHECK(large.told() == "the tool orders answered with status 500: xxxxxxxxxx");
}

TEST_CASE("no error repeats what a header holds") {
    const std::string secret = "0123456789abcdef";
    ToolFixture f([](const Recorded& request, ScriptedReply& out) {
        std::string all;
        for (const auto& [name, value] : request.fields) {
            all += name + "=" + value + "\n";
        }
        out.send(401, all);
    });
    f.headers = {{"Authorization", "Bearer " + secret}, {"X-Api-Key", "K-" + secret}, {"Accept", "application/json"}};
    const std::string told = f.told();
    CHECK(told.find("Authorization=***") != std::string::npos);
    CHECK(told.find("X-Api-Key=") != std::string::npos);
    CHECK(told.find("Accept=application/json") != std::string::npos);
    CHECK(told.find(secret.substr(0, 8)) == std::string::npos);
    f.server.set_script(reply(500, "token " + secret + " is over; " + std::string(600, 'x')));
    CHECK(f.told().starts_with("the tool orders answered with status 500: token *** is over; xxx"));
    f.server.set_script(reply(500, std::string(488, 'x') + secret));
    CHECK(f.told().find(secret.substr(0, 4)) == std::string::npos);
}

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

TEST_CASE("a configuration that could never work is refused at the start") {
    mt::ToolConfig good;
    good.name = "orders";
    good.parameters = k_schema;
    good.url = "https://shop.example/orders/{id}";
    CHECK(refused(good).empty());
    const auto with = [&](auto change) {
        mt::ToolConfig config = good;
        change(config);
        return refused(config);
    };
    CHECK(with([](auto& c) { c.url = ""; }).starts_with("url: "));
    CHECK(with([](auto& c) { c.url = "https://"; }).starts_with("url: "));
    CHECK(with([](auto& c) { c.url = "https://{id}.example/"; }).starts_with("url: "));
    CHECK(with([](auto& c) { c.url = "https://shop.example:{id}/"; }).starts_with("url: "));
    CHECK(with([](auto& c) { c.url = "https://user:{id}@shop.example/"; }).starts_with("url: "));
    CHECK(with([](auto& c) { c.url = "https://shop.example/{id"; }).starts_with("url: "));
    CHECK(with([](auto& c) { c.url = "https://shop.example/#{id}"; }).starts_with("url: "));
    CHECK(with([](auto& c) { c.url = "https://shop.example/{nmae}"; }) ==
          "url: 'nmae' is no property of the parameters");
    CHECK(with([](auto& c) { c.method = "get"; }).starts_with("method: 'get' "));
    CHECK(with([](auto& c) { c.method = "CONNECT"; }).starts_with("method: "));
    for (const char* schema : {"nonsense", "[]", "{}", R"({"type":"string"})", R"({"type":7})",
                               R"({"type":"object","properties":7})", R"({"type":"object","required":{}})"}) {
        CAPTURE(schema);
        CHECK(with([&](auto& c) { c.parameters = schema; }).starts_with("parameters: "));
    }
}

TEST_CASE("headers that no request may hold are refused at the start, without their values") {
    mt::ToolConfig good;
    good.name = "orders";
    good.parameters = k_schema;
    good.url = "https://shop.example/";
    CHECK(refused(good, {{"Authorization", "Bearer x"}}).empty());
    for (const Headers& headers : {Headers{{"X Key", "secret"}}, Headers{{"", "secret"}},
                                   Headers{{"X-Key", "secret\r\nX-Other: 1"}}, Headers{{"host", "secret"}},
                                   Headers{{"Content-Length", "secret"}}, Headers{{"transfer-encoding", "secret"}}}) {
        const std::string message = refused(good, headers);
        CHECK(message.starts_with("headers: "));
        CHECK(message.find("secret") == std::string::npos);
    }
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
