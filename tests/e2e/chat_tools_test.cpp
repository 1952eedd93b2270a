// The tool loop and the cache behind OpenAI's API.

#include <algorithm>

#include "e2e/chat.h"

namespace mt::test {
namespace {

const Json k_weather = Json::parse(R"({"type":"function","function":{"name":"weather","description":"of a city",
    "parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}})");

struct ToolHouse {
    explicit ToolHouse(Script script, const std::string& tenant = "model = \"big\"\n")
        : upstream(std::move(script)), site(model_toml(upstream) + tenant_toml("acme", tenant)) {}

    [[nodiscard]] Json sent(std::size_t number) const { return parse_json(upstream.requests().at(number).body); }

    ScriptedUpstream upstream;
    Site site;
    Server server = site.serve();
};

bool offers(const Json& sent, const std::string& name) {
    const Json tools = sent.value("tools", Json::array());
    return std::any_of(tools.begin(), tools.end(), [&](const Json& tool) { return tool["function"]["name"] == name; });
}

TEST_CASE("the tenant's tools are run by us: the client sees only the answer and the usage of all steps") {
    for (const Json& how : {Json::object(), k_streaming}) {
        ToolHouse house(sequence(
            {tools({{"c1", "calculator", R"({"expression":"6*7"})"}, {"c2", "calculator", R"({"expression":"2+3"})"}},
                   ChatUsage{10, 5}),
             chat({"The sums are ", "42 and 5"}, ChatUsage{30, 8})}));
        Json body = chat_request("sums?", how);
        body["stream_options"] = {{"include_usage", true}};
        const http::Response reply = complete(house.server, body);
        REQUIRE(reply.status == 200);
        const bool streamed = how.contains("stream");
        const std::vector<Json> chunks = streamed ? chunks_of(reply.body) : std::vector<Json>{};
        CHECK((streamed ? text_of(chunks) : answer_of(reply)) == "The sums are 42 and 5");
        CHECK(reply.body.find("calculator") == std::string::npos);
        const Json usage = streamed ? chunks.back()["usage"] : parse_json(reply.body)["usage"];
        CHECK(usage == Json{{"prompt_tokens", 40}, {"completion_tokens", 13}, {"total_tokens", 53}});
        REQUIRE(house.upstream.request_count() == 2);
        CHECK(offers(house.sent(0), "calculator"));
        const Json messages = house.sent(1)["messages"];
        REQUIRE(messages.size() == 4);
        CHECK(messages[1]["tool_calls"].size() == 2);
        CHECK(messages[2] == Json{{"role", "tool"}, {"tool_call_id", "c1"}, {"content", "42"}});
        CHECK(messages[3] == Json{{"role", "tool"}, {"tool_call_id", "c2"}, {"content", "5"}});
        CHECK(numbers_of(house.server)["tokens_in"] == 40);
        CHECK(numbers_of(house.server)["tokens_out"] == 13);
    }
}

TEST_CASE("a bad call goes back to the model as an error, and it may do better") {
    ToolHouse house(sequence({tools({{"c1", "calculator", R"({"expresion":"1"})"},
                                     {"c2", "calculator", "{oops"},
                                     {"c3", "no_such_tool", "{}"}}),
                              chat({"sorry"})}));
    CHECK(answer_of(complete(house.server, chat_request("sum?"))) == "sorry");
    const Json messages = house.sent(1)["messages"];
    REQUIRE(messages.size() == 5);
    for (std::size_t i = 2; i < 5; ++i) {
        CHECK(messages[i]["role"] == "tool");
        CHECK(messages[i]["tool_call_id"] == "c" + std::to_string(i - 1));
        CHECK_FALSE(messages[i]["content"].get<std::string>().empty());
    }
    CHECK(messages[2]["content"].get<std::string>().find("expression") != std::string::npos);
    CHECK(messages[4]["content"].get<std::string>().find("no_such_tool") != std::string::npos);
}

TEST_CASE("max_steps ends a model that never stops calling, and its last step is offered no tools") {
    ToolHouse house(tools({{"c", "calculator", R"({"expression":"1"})"}}, ChatUsage{5, 1}),
                    "model = \"big\"\nmax_steps = 3\n");
    const http::Response reply = complete(house.server, chat_request("loop"));
    CHECK(reply.status == 502);
    CHECK(house.upstream.request_count() == 3);
    CHECK(offers(house.sent(1), "calculator"));
    CHECK_FALSE(offers(house.sent(2), "calculator"));
    CHECK(numbers_of(house.server)["tokens_in"] == 15);  // used is used
    CHECK(numbers_of(house.server)["errors"] == 1);
}

TEST_CASE("calls of the client's tools are returned, and the loop goes on with its results") {
    const Script script = [](const Recorded& request, ScriptedReply& out) {
        const bool answered = request.body.find("\"tool_call_id\"") != std::string::npos;
        (answered ? chat({"Rain in Rome"}) : tools({{"w1", "weather", R"({"city":"Rome"})"}}))(request, out);
    };
    for (const Json& how : {Json::object(), k_streaming}) {
        ToolHouse house(script);
        Json body = chat_request("weather?", how);
        body["tools"] = Json::array({k_weather});
        const http::Response reply = complete(house.server, body);
        Json call;
        if (how.empty()) {
            const Json choice = parse_json(reply.body)["choices"][0];
            CHECK(choice["finish_reason"] == "tool_calls");
            CHECK(choice["message"]["content"].is_null());
            REQUIRE(choice["message"]["tool_calls"].size() == 1);
            call = choice["message"]["tool_calls"][0];
        } else {
            const std::vector<Json> chunks = chunks_of(reply.body);
            std::string arguments;
            for (const Json& chunk : chunks) {
                for (const Json& delta : chunk["choices"][0]["delta"].value("tool_calls", Json::array())) {
                    CHECK(delta["index"] == 0);
                    arguments += delta["function"]["arguments"];
                    if (delta.contains("id")) {
                        CHECK(call.is_null());
                        CHECK(delta["function"]["arguments"] == "");
                        call = delta;
                    }
                }
            }
            CHECK(chunks.front()["choices"][0]["delta"] == Json{{"role", "assistant"}, {"content", ""}});
            CHECK(chunks.back()["choices"][0]["delta"] == Json::object());
            CHECK(chunks.back()["choices"][0]["finish_reason"] == "tool_calls");
            call["function"]["arguments"] = arguments;
            call.erase("index");
        }
        CHECK(call == Json{{"id", "w1"},
                           {"type", "function"},
                           {"function", {{"name", "weather"}, {"arguments", R"({"city":"Rome"})"}}}});
        CHECK(offers(house.sent(0), "weather"));
        CHECK(offers(house.sent(0), "calculator"));
        body["messages"].push_back({{"role", "assistant"}, {"content", nullptr}, {"tool_calls", Json::array({call})}});
        body["messages"].push_back({{"role", "tool"}, {"tool_call_id", "w1"}, {"content", "rain"}});
        const http::Response second = complete(house.server, body);
        CHECK((how.empty() ? answer_of(second) : text_of(chunks_of(second.body))) == "Rain in Rome");
        const Json messages = house.sent(1)["messages"];
        CHECK(messages[1]["tool_calls"][0] == call);
        CHECK(messages[2]["content"] == "rain");
    }
}

TEST_CASE("a turn that mixes both is returned with the client's calls alone") {
    ToolHouse house(tools({{"k1", "calculator", R"({"expression":"1"})"}, {"w1", "weather", R"({"city":"Rome"})"}}));
    Json body = chat_request("both");
    body["tools"] = Json::array({k_weather});
    const Json choice = parse_json(complete(house.server, body).body)["choices"][0];
    CHECK(choice["finish_reason"] == "tool_calls");
    REQUIRE(choice["message"]["tool_calls"].size() == 1);
    CHECK(choice["message"]["tool_calls"][0]["id"] == "w1");
    body["stream"] = true;
    const std::string streamed = complete(house.server, body).body;
    CHECK(streamed.find("calculator") == std::string::npos);
    CHECK(streamed.find("w1") != std::string::npos);
    CHECK(house.upstream.request_count() == 2);
}

TEST_CASE("a client's tool takes the place of the tenant's of the same name") {
    ToolHouse house(tools({{"c1", "calculator", R"({"x":1})"}}));
    Json body = chat_request("mine");
    body["tools"] = Json::array({{{"type", "function"}, {"function", {{"name", "calculator"}}}}});
    const Json choice = parse_json(complete(house.server, body).body)["choices"][0];
    REQUIRE(choice["message"]["tool_calls"].size() == 1);
    CHECK(choice["message"]["tool_calls"][0]["function"]["arguments"] == R"({"x":1})");
    CHECK(house.sent(0)["tools"].dump().find("expression") == std::string::npos);
}

std::string cache_of(const http::Response& reply) {
    return field(reply, "X-Cache");
}

// Answers with a number that grows.
Script counting() {
    return [](const Recorded& request, ScriptedReply& out) {
        chat({"answer ", std::to_string(request.number)})(request, out);
    };
}

TEST_CASE("temperature 0 is cached, anything else is not") {
    ToolHouse house(counting());
    const auto ask = [&](const Json& more, const http::Fields& fields = {}) {
        return complete(house.server, chat_request("Hello", more), fields);
    };
    CHECK(cache_of(ask({{"temperature", 0}})) == "MISS");
    const http::Response hit = ask({{"temperature", 0}});
    CHECK(cache_of(hit) == "HIT");
    CHECK(answer_of(hit) == "answer 0");
    for (const Json& other : {Json::object(), Json{{"temperature", 1}}, Json{{"temperature", 0.01}}}) {
        CHECK(cache_of(ask(other)) == "MISS");
        CHECK(cache_of(ask(other)) == "MISS");
    }
    // Every field that can change the answer is part of the key.
    for (const Json& other :
         {Json{{"temperature", 0}, {"seed", 1}}, Json{{"temperature", 0}, {"max_tokens", 5}},
          Json{{"temperature", 0}, {"stop", "x"}}, Json{{"temperature", 0}, {"tools", Json::array({k_weather})}},
          Json{{"temperature", 0}, {"response_format", {{"type", "json_object"}}}}}) {
        CHECK_MESSAGE(cache_of(ask(other)) == "MISS", other.dump());
    }
    CHECK(cache_of(complete(house.server, chat_request("Hello!", {{"temperature", 0}}))) == "MISS");
    for (const char* wish : {"no-cache", "no-store", "max-age=0, no-cache"}) {
        const http::Response fresh = ask({{"temperature", 0}}, {{"Cache-Control", wish}});
        CHECK(cache_of(fresh) == "MISS");
        CHECK(answer_of(fresh) != "answer 0");
    }
    CHECK(numbers_of(house.server)["cache_hits"] == 1);
    CHECK(numbers_of(house.server)["tokens_in"] == 12 * static_cast<int>(house.upstream.request_count()));
}

TEST_CASE("a hit is a stream for who asks for one, whoever filled the cache") {
    ToolHouse house(counting());
    for (const char* text : {"plain first", "stream first"}) {
        const bool stream_first = std::string(text) == "stream first";
        const auto ask = [&](bool streamed) {
            return complete(house.server, chat_request(text, {{"temperature", 0}, {"stream", streamed}}));
        };
        const http::Response first = ask(stream_first);
        const http::Response second = ask(!stream_first);
        CHECK(cache_of(first) == "MISS");
        CHECK(cache_of(second) == "HIT");
        const http::Response& streamed = stream_first ? first : second;
        const http::Response& plain = stream_first ? second : first;
        CHECK(field(streamed, "Content-Type").starts_with("text/event-stream"));
        CHECK(field(plain, "Content-Type") == "application/json");
        const std::vector<Json> chunks = chunks_of(streamed.body);
        CHECK(text_of(chunks) == answer_of(plain));
        CHECK(chunks.front()["choices"][0]["delta"] == Json{{"role", "assistant"}, {"content", ""}});
        CHECK(chunks.back()["choices"][0]["finish_reason"] == "stop");
    }
    CHECK(house.upstream.request_count() == 2);
}

TEST_CASE("cache_completions keeps answers of every temperature, for this tenant alone") {
    const ScriptedUpstream upstream(counting());
    const Site site(model_toml(upstream) + tenant_toml("acme", "model = \"big\"\ncache_completions = true\n") +
                    tenant_toml("other", "model = \"big\"\ncache_completions = true\n"));
    Server server = site.serve();
    const Json warm = chat_request("Hello", {{"temperature", 1}});
    CHECK(cache_of(complete(server, warm)) == "MISS");
    CHECK(cache_of(complete(server, warm)) == "HIT");
    CHECK(cache_of(server.get("/acme?q=Hello")) == "MISS");
    CHECK(cache_of(server.get("/acme?q=Hello")) == "HIT");
    CHECK(cache_of(server.get("/acme?q=Hello&session=s")) == "MISS");
    CHECK(cache_of(server.get("/acme?q=Hello&session=s")) == "MISS");
    CHECK(cache_of(complete(server, warm, {}, "/other/v1")) == "MISS");
    REQUIRE(site.run({"tenant", "config", "acme", "system_prompt=Be kind."}).exit == 0);  // another generation
    CHECK(time_until([&] { return cache_of(complete(server, warm)) == "MISS"; }, std::chrono::seconds(5)));
}

TEST_CASE("failures and answers with tools that are not pure are not cached") {
    ToolHouse house(sequence({chat_error(400), chat({"good"}), chat({"never asked"})}));
    const Json cold = chat_request("Hello", {{"temperature", 0}});
    CHECK(complete(house.server, cold).status == 400);
    CHECK(cache_of(complete(house.server, cold)) == "MISS");
    CHECK(cache_of(complete(house.server, cold)) == "HIT");
    house.upstream.set_script([](const Recorded& request, ScriptedReply& out) {
        const bool answered = request.body.find("\"tool_call_id\"") != std::string::npos;
        (answered ? chat({"it is late"}) : tools({{"t", "current_time", "{}"}}))(request, out);
    });
    const Json clock = chat_request("time?", {{"temperature", 0}});
    CHECK(cache_of(complete(house.server, clock)) == "MISS");
    CHECK(cache_of(complete(house.server, clock)) == "MISS");
}

TEST_CASE("identical requests in flight are computed once, and each gets the answer") {
    Latch latch;
    ToolHouse house(after(latch, chat({"shared"})));
    const Json cold = chat_request("Hello", {{"temperature", 0}, {"stream", true}});
    LiveChat first(house.server, cold);
    REQUIRE(house.upstream.wait_for_requests(1));
    LiveChat second(house.server, cold);
    LiveChat third(house.server, cold);
    REQUIRE(time_until([&] { return numbers_of(house.server)["in_flight"] == 3; }, std::chrono::seconds(5)));
    latch.open();
    for (LiveChat* chat : {&first, &second, &third}) {
        chat->head();
        CHECK(text_of(chunks_of(chat->read_all())) == "shared");
    }
    CHECK(house.upstream.request_count() == 1);
}

}  // namespace
}  // namespace mt::test
