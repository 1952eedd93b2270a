// Functions of the operator's own product, called by agents over HTTP.

#include <algorithm>
#include <csignal>
#include <optional>

#include "e2e/chat.h"

namespace mt::test {
namespace {

// A model that calls the tool "order" with these arguments and then answers with the tool's result.
Script calls_order(const std::string& arguments) {
    return [arguments](const Recorded& request, ScriptedReply& out) {
        const Json messages = parse_json(request.body)["messages"];
        const bool answered = messages.back()["role"] == "tool";
        (answered ? chat({"tool said: " + messages.back()["content"].get<std::string>()})
                  : tools({{"c1", "order", arguments}}))(request, out);
    };
}

const std::string k_parameters =
    "parameters.properties.id = { type = \"string\" }\nparameters.properties.note = { type = \"string\" }\n"
    "parameters.properties.count = { type = \"integer\" }\nparameters.required = [\"id\"]\n";

struct ToolHouse {
    ToolHouse(const std::string& tool, const std::string& arguments, bool allowed = true)
        : model(calls_order(arguments)),
          site((allowed ? "[server]\nprivate_upstreams = [\"127.0.0.0/8\"]\n" : "") + model_toml(model) +
               "[tools.order]\ndescription = \"An order\"\nurl = \"" + shop.url() + tool + k_parameters +
               tenant_toml("acme")) {
        site.launch().environment["SHOP_TOKEN"] = k_upstream_key;
    }
    // The server lives as long as the site that it works in.
    Server& serve() {
        server.emplace(site.launch(), Words{"--log-level", "debug"});
        return *server;
    }
    std::string ask() { return answer_of(complete(server ? *server : serve(), chat_request("order?"))); }

    ScriptedUpstream shop{[](const Recorded&, ScriptedReply& out) {
        out.send(200, "on its way", {{"Content-Type", "text/plain"}});
    }};
    ScriptedUpstream model;
    Site site;
    std::optional<Server> server{};
};

TEST_CASE("GET: arguments in path and query, the tenant's id, headers from the environment") {
    ToolHouse house("/orders/{id}?v=1\"\nmethod = \"GET\"\nheaders = { Authorization = \"Bearer ${SHOP_TOKEN}\" }\n",
                    R"({"id":"a/b ?&c","note":"x&y=z","count":3})");
    CHECK(house.ask() == "tool said: on its way");
    const Recorded request = house.shop.requests().at(0);
    CHECK(request.method == "GET");
    CHECK(request.target.starts_with("/orders/a%2Fb%20%3F%26c?v=1&"));
    CHECK(request.target.find("note=x%26y%3Dz") != std::string::npos);
    CHECK(request.target.find("count=3") != std::string::npos);
    CHECK(request.field("X-Tenant-ID") == "acme");
    CHECK(request.field("Authorization") == "Bearer " + k_upstream_key);
    CHECK(request.body.empty());
    const Json offered = parse_json(house.model.requests().at(0).body)["tools"];
    const auto order = std::find_if(offered.begin(), offered.end(),
                                    [](const Json& tool) { return tool["function"]["name"] == "order"; });
    REQUIRE(order != offered.end());
    CHECK((*order)["function"]["description"] == "An order");
    CHECK((*order)["function"]["parameters"]["properties"].size() == 3);
    CHECK(offered.dump().find(k_upstream_key) == std::string::npos);
    CHECK(house.server->terminate().exit == 0);
    CHECK(house.server->process().err().find(k_upstream_key) == std::string::npos);
}

TEST_CASE("POST: what is not in the path is the body") {
    ToolHouse house("/orders/{id}\"\n", R"({"id":"7","note":"\u00e9\"","count":-2})");
    CHECK(house.ask() == "tool said: on its way");
    const Recorded request = house.shop.requests().at(0);
    CHECK(request.method == "POST");
    CHECK(request.target == "/orders/7");
    CHECK(request.field("Content-Type") == "application/json");
    CHECK(parse_json(request.body) == Json{{"note", "\u00e9\""}, {"count", -2}});
}

TEST_CASE("arguments can neither leave their place in the path nor break the schema") {
    ToolHouse house("/orders/{id}\"\nmethod = \"GET\"\n", R"({"id":".."})");
    const std::string answer = house.ask();
    for (const Recorded& request : house.shop.requests()) {
        CHECK(request.target.starts_with("/orders/"));
        CHECK(request.target != "/orders/..");
    }
    for (const char* bad : {R"({"id":7})", R"({})", R"({"id":"7","count":"many"})", R"([])", "{"}) {
        const std::size_t before = house.shop.request_count();
        house.model.set_script(calls_order(bad));
        CHECK(house.ask().starts_with("tool said: "));
        CHECK(house.shop.request_count() == before);
    }
}

TEST_CASE("errors, timeouts and large replies go back to the model as text, and the call is served") {
    ToolHouse house(
        "/orders\"\ntimeout = \"200ms\"\nmax_size = \"1KB\"\n"
        "headers = { X-Key = \"${SHOP_TOKEN}\" }\n",
        R"({"id":"7"})");
    Server& server = house.serve();
    const auto expect = [&](Script script, const char* word) {
        house.shop.set_script(std::move(script));
        const std::string answer = house.ask();
        CHECK_MESSAGE(answer.find(word) != std::string::npos, answer);
        CHECK_MESSAGE(answer.find("127.0.0.1") == std::string::npos, answer);
        CHECK_MESSAGE(answer.find(k_upstream_key) == std::string::npos, answer);
    };
    expect([](const Recorded&, ScriptedReply& out) { out.send(500, "stock system says " + k_upstream_key); }, "500");
    expect([](const Recorded&, ScriptedReply& out) { out.send(404, "no such order"); }, "no such order");
    expect([](const Recorded&, ScriptedReply& out) { out.keep_silent(); }, "200ms");
    expect([](const Recorded&, ScriptedReply& out) { out.send(200, std::string(5000, 'x')); }, "larger");
    expect([](const Recorded&, ScriptedReply& out) { out.cut(); }, "order");
    expect(
        [](const Recorded&, ScriptedReply& out) {
            out.send(302, "", {{"Location", "http://127.0.0.1:1/"}});
        },
        "302");
    // A reply that never ends is not read to its end.
    house.shop.set_script([](const Recorded&, ScriptedReply& out) {
        out.start_stream();
        while (out.chunk(std::string(1000, 'x'))) {
        }
    });
    CHECK(house.ask().find("larger") != std::string::npos);
    CHECK(house.shop.wait_for_departures(1));
    const Json numbers = numbers_of(server);
    CHECK(numbers["served"] == 7);
    CHECK(numbers["errors"] == 0);
}

TEST_CASE("a private address is refused unless the operator allows it") {
    ToolHouse house("/orders\"\n", R"({"id":"7"})", false);
    const Site& site = house.site;
    const Process serving = site.start({"serve", "--listen", "127.0.0.1:0", "--port-file", "port"});
    // Refused at the start or at the call: both keep the shop alone.
    const auto decided = [&] { return serving.ended() || std::filesystem::exists(site.path("port")); };
    REQUIRE(time_until(decided, std::chrono::seconds(20)));
    if (!serving.ended()) {
        serving.signal(SIGTERM);
        REQUIRE(serving.ended(std::chrono::seconds(20)));
        const std::string answer = house.ask();
        CHECK_MESSAGE(answer.find("not allowed") != std::string::npos, answer);
    }
    CHECK(house.shop.connections() == 0);
}

TEST_CASE("a pure tool's answers may be cached, another's not; a tenant has only the tools it names") {
    for (const bool pure : {true, false}) {
        ToolHouse house(pure ? "/orders\"\npure = true\n" : "/orders\"\n", R"({"id":"7"})");
        Server& server = house.serve();
        const Json cold = chat_request("order?", {{"temperature", 0}});
        CHECK(field(complete(server, cold), "X-Cache") == "MISS");
        CHECK(field(complete(server, cold), "X-Cache") == (pure ? "HIT" : "MISS"));
        CHECK(house.shop.request_count() == (pure ? 1 : 2));
        REQUIRE(house.site.run({"tenant", "config", "acme", "tools=calculator"}).exit == 0);
        const auto answer = [&] { return answer_of(complete(server, chat_request("again"))); };
        CHECK(time_until([&] { return answer().find("on its way") == std::string::npos; }, std::chrono::seconds(5)));
        CHECK(house.model.requests().back().body.find("An order") == std::string::npos);
    }
}

}  // namespace
}  // namespace mt::test
