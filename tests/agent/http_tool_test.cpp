#include "agent/http_tool.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/http_tool_kit.h"
#include "support/scripted_upstream.h"

namespace {

using mt::Code;
using mt::Result;
using mt::test::Headers;
using mt::test::k_order_schema;
using mt::test::Recorded;
using mt::test::reply;
using mt::test::ScriptedReply;
using mt::test::ToolFixture;
using Json = nlohmann::json;

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
    CHECK((*made)->spec().parameters == k_order_schema);
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

TEST_CASE("a configuration that could never work is refused at the start") {
    mt::ToolConfig good;
    good.name = "orders";
    good.parameters = k_order_schema;
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
    good.parameters = k_order_schema;
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
