// OpenAI's API as a client sees it on the wire (https://platform.openai.com/docs/api-reference/chat).

#include <array>
#include <set>

#include "e2e/chat.h"

namespace mt::test {
namespace {

// A site whose tenant acme is answered by this server.
struct ChatHouse {
    explicit ChatHouse(Script script, const std::string& tenant = "model = \"big\"\n")
        : upstream(std::move(script)), site(model_toml(upstream) + tenant_toml("acme", tenant)) {}

    Json sent() const { return parse_json(upstream.requests().back().body); }

    ScriptedUpstream upstream;
    Site site;
    Server server = site.serve();
};

std::set<std::string> names_of(const Json& object) {
    std::set<std::string> names;
    for (const auto& entry : object.items()) {
        names.insert(entry.key());
    }
    return names;
}

// {"error": {message, type, param, code}} and nothing else.
Json error_of(const http::Response& reply, int status) {
    CHECK_MESSAGE(reply.status == status, reply.body);
    CHECK(field(reply, "Content-Type") == "application/json");
    CHECK_FALSE(field(reply, "x-request-id").empty());
    const Json body = parse_json(reply.body);
    CHECK(names_of(body) == std::set<std::string>{"error"});
    const Json error = body.value("error", Json::object());
    CHECK(names_of(error) == std::set<std::string>{"message", "type", "param", "code"});
    CHECK(error["message"].is_string());
    CHECK_FALSE(error["message"] == "");
    return error;
}

TEST_CASE("a reply has OpenAI's fields") {
    ChatHouse house(chat({"Good ", "evening"}, ChatUsage{12, 7}));
    const http::Response reply = complete(house.server, chat_request("Hello"), {{"Accept", "text/plain"}});
    CHECK(reply.status == 200);
    CHECK(field(reply, "Content-Type") == "application/json");
    CHECK_FALSE(field(reply, "x-request-id").empty());
    const Json body = parse_json(reply.body);
    CHECK(names_of(body) == std::set<std::string>{"id", "object", "created", "model", "choices", "usage"});
    CHECK(body["object"] == "chat.completion");
    CHECK(body["id"].get<std::string>().starts_with("chatcmpl-"));
    CHECK(body["created"].is_number_integer());
    CHECK(body["usage"] == Json{{"prompt_tokens", 12}, {"completion_tokens", 7}, {"total_tokens", 19}});
    REQUIRE(body["choices"].size() == 1);
    CHECK(body["choices"][0] ==
          Json{{"index", 0},
               {"message", {{"role", "assistant"}, {"content", "Good evening"}, {"refusal", nullptr}}},
               {"finish_reason", "stop"},
               {"logprobs", nullptr}});
}

TEST_CASE("a stream has OpenAI's chunks, whatever Accept says") {
    ChatHouse house(chat({"Good ", "evening"}, ChatUsage{12, 7}));
    for (const bool with_usage : {false, true}) {
        Json body = chat_request("Hello", k_streaming);
        if (with_usage) {
            body["stream_options"] = {{"include_usage", true}};
        }
        const http::Response reply = complete(house.server, body, {{"Accept", "application/json"}});
        CHECK(reply.status == 200);
        CHECK(field(reply, "Content-Type").starts_with("text/event-stream"));
        CHECK(field(reply, "Cache-Control") == "no-cache");
        CHECK(field(reply, "X-Accel-Buffering") == "no");
        const std::vector<Json> chunks = chunks_of(reply.body);
        REQUIRE(chunks.size() == (with_usage ? 5 : 4));
        const std::array<Json, 4> deltas{{{{"role", "assistant"}, {"content", ""}},
                                          {{"content", "Good "}},
                                          {{"content", "evening"}},
                                          Json::object()}};
        for (std::size_t i = 0; i < chunks.size(); ++i) {
            CHECK(chunks[i]["object"] == "chat.completion.chunk");
            CHECK(chunks[i]["id"] == chunks[0]["id"]);
            CHECK(chunks[i]["created"] == chunks[0]["created"]);
            CHECK(chunks[i]["model"] == "big");
            if (i < deltas.size()) {
                REQUIRE(chunks[i]["choices"].size() == 1);
                CHECK(chunks[i]["choices"][0]["index"] == 0);
                CHECK(chunks[i]["choices"][0]["delta"] == deltas.at(i));
                CHECK(chunks[i]["choices"][0]["finish_reason"] == (i == 3 ? Json("stop") : Json()));
                CHECK(chunks[i].value("usage", Json()).is_null());
            }
        }
        if (with_usage) {
            CHECK(chunks[4]["choices"] == Json::array());
            CHECK(chunks[4]["usage"] == Json{{"prompt_tokens", 12}, {"completion_tokens", 7}, {"total_tokens", 19}});
        }
    }
}

TEST_CASE("each delta leaves when it comes, not at the end") {
    Latch latch;
    ChatHouse house(stalled_stream({"first"}, latch, {"second"}));
    LiveChat stream(house.server, chat_request("Hello", k_streaming));
    CHECK(stream.head().starts_with("HTTP/1.1 200"));
    CHECK(stream.read_until("first"));
    CHECK(stream.body().find("second") == std::string::npos);
    latch.open();
    CHECK(text_of(chunks_of(stream.read_all())) == "firstsecond");
}

TEST_CASE("unknown fields and parts go to the model as they came") {
    ChatHouse house(chat({"x"}));
    const Json image = parse_json(R"([{"type":"text","text":"What is this?"},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}])");
    const Json more = parse_json(R"({"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{
        "type":"object","properties":{"z":{"type":"number"},"a":{"type":"string"}}}}},
        "temperature":0.7,"seed":12345678901234567890,"user":"u-1","logit_bias":{"50256":-100},
        "x_vendor":{"deep":[1,2.5,null,true,"\u00e9"]},"stop":["\n","END"]})");
    Json body = chat_request("", more);
    body["messages"] = Json::array(
        {{{"role", "developer"}, {"content", "Be brief."}}, {{"role", "user"}, {"content", image}, {"name", "ann"}}});
    CHECK(complete(house.server, body).status == 200);
    const Json sent = house.sent();
    for (const auto& entry : more.items()) {
        CHECK_MESSAGE(sent.value(entry.key(), Json()) == entry.value(), entry.key());
    }
    CHECK(sent["model"] == "big");
    REQUIRE(sent["messages"].size() >= 2);
    const Json& last = sent["messages"].back();
    CHECK(last["content"] == image);
    CHECK(last["name"] == "ann");
    CHECK(sent["messages"][sent["messages"].size() - 2]["content"] == "Be brief.");
}

TEST_CASE("the tenant's system prompt goes before what the client says") {
    ChatHouse house(chat({"x"}), "model = \"big\"\nsystem_prompt = \"You are Acme's.\"\n");
    complete(house.server, chat_request("Hello"));
    const Json messages = house.sent()["messages"];
    REQUIRE(messages.size() == 2);
    CHECK(messages[0] == Json{{"role", "system"}, {"content", "You are Acme's."}});
    CHECK(messages[1] == Json{{"role", "user"}, {"content", "Hello"}});
}

TEST_CASE("n=2: both choices come back, streamed or not") {
    const std::string plain =
        R"({"id":"x","object":"chat.completion","created":1,"model":"m","choices":[
            {"index":0,"message":{"role":"assistant","content":"heads"},"finish_reason":"stop"},
            {"index":1,"message":{"role":"assistant","content":"tails"},"finish_reason":"length"}],
            "usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}})";
    const auto chunk = [](int index, const Json& delta, const Json& reason) {
        return Json{{"choices", {{{"index", index}, {"delta", delta}, {"finish_reason", reason}}}}}.dump();
    };
    ChatHouse house([&](const Recorded& request, ScriptedReply& out) {
        if (!parse_json(request.body).value("stream", false)) {
            out.send(200, plain);
            return;
        }
        out.start_stream();
        for (const auto& [index, word] :
             std::array<std::pair<int, const char*>, 4>{{{0, "he"}, {1, "ta"}, {1, "ils"}, {0, "ads"}}}) {
            out.event(chunk(index, {{"content", word}}, nullptr));
        }
        out.event(chunk(0, Json::object(), "stop"));
        out.event(chunk(1, Json::object(), "length"));
        out.event("[DONE]");
        out.finish();
    });
    const Json body = parse_json(complete(house.server, chat_request("Toss", {{"n", 2}})).body);
    CHECK(house.sent()["n"] == 2);
    REQUIRE(body["choices"].size() == 2);
    CHECK(body["choices"][0]["message"]["content"] == "heads");
    CHECK(body["choices"][1]["message"]["content"] == "tails");
    CHECK(body["choices"][1]["index"] == 1);
    CHECK(body["choices"][1]["finish_reason"] == "length");
    const std::vector<Json> chunks =
        chunks_of(complete(house.server, chat_request("Toss", {{"n", 2}, {"stream", true}})).body);
    std::array<std::string, 2> texts;
    for (const Json& entry : chunks) {
        texts.at(entry["choices"][0]["index"]) += entry["choices"][0]["delta"].value("content", "");
    }
    CHECK(texts == std::array<std::string, 2>{"heads", "tails"});
}

TEST_CASE("both names of the answer's bound reach the model as one it knows") {
    ChatHouse house(chat({"x"}));
    for (const char* name : {"max_tokens", "max_completion_tokens"}) {
        complete(house.server, chat_request("Hello", {{name, 77}}));
        const Json sent = house.sent();
        CHECK(sent.value("max_tokens", 0) + sent.value("max_completion_tokens", 0) == 77);
    }
}

TEST_CASE("the model's own refusals pass: context_length_exceeded with its param") {
    const std::string body = R"({"error":{"message":"This model's maximum context length is 8 tokens.",
        "type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}})";
    ChatHouse house([&](const Recorded&, ScriptedReply& out) { out.send(400, body); });
    for (const Json& how : {Json::object(), k_streaming}) {
        const Json error = error_of(complete(house.server, chat_request("long", how)), 400);
        CHECK(error["code"] == "context_length_exceeded");
        CHECK(error["param"] == "messages");
        CHECK(error["type"] == "invalid_request_error");
        CHECK(error["message"] == "This model's maximum context length is 8 tokens.");
    }
}

TEST_CASE("builtin answers here too, and says 400 to what it cannot do") {
    const Site site(tenant_toml("acme", "name = \"Acme\"\n"));
    Server server = site.serve();
    CHECK(answer_of(complete(server, chat_request("Hello"))).starts_with("[Acme] Received: Hello"));
    const std::vector<Json> chunks = chunks_of(complete(server, chat_request("what is 6*7", k_streaming)).body);
    CHECK(text_of(chunks).find("42") != std::string::npos);
    CHECK(chunks.back()["choices"][0]["finish_reason"] == "stop");
    const Json parts = parse_json(R"([{"type":"text","text":"Hel"},{"type":"text","text":"lo"}])");
    Json body = chat_request("");
    body["messages"][0]["content"] = parts;
    CHECK(complete(server, body).status == 200);
    struct Case {
        const char* param;
        Json more;
    };
    const std::array<Case, 4> cases{{{"n", {{"n", 2}}},
                                     {"response_format", {{"response_format", {{"type", "json_object"}}}}},
                                     {"logprobs", {{"logprobs", true}}},
                                     {"tool_choice", {{"tool_choice", "required"}}}}};
    for (const Case& wrong : cases) {
        const Json error = error_of(complete(server, chat_request("Hello", wrong.more)), 400);
        CHECK(error["param"] == wrong.param);
        CHECK(error["type"] == "invalid_request_error");
    }
    body["messages"][0]["content"] = parse_json(R"([{"type":"image_url","image_url":{"url":"http://x/y.png"}}])");
    CHECK(error_of(complete(server, body), 400)["param"].get<std::string>().starts_with("messages"));
    CHECK(numbers_of(server)["errors"] == 0);
    CHECK(numbers_of(server)["requests"] == 3);  // what is invalid is nobody's call
}

TEST_CASE("bad requests are 400 with OpenAI's error, and name the field") {
    const Site site(tenant_toml("acme", ""));
    Server server = site.serve();
    const auto post = [&](const std::string& body) {
        return server.send("POST", "/acme/v1/chat/completions", {{"Content-Type", "application/json"}}, body);
    };
    for (const char* body : {"", "{", "[]", "null", "\"x\"", "{\"messages\":[]} x"}) {
        CAPTURE(body);
        CHECK(error_of(post(body), 400)["type"] == "invalid_request_error");
    }
    const std::array<std::pair<Json, const char*>, 6> cases{
        {{{{"model", "default"}}, "messages"},
         {{{"messages", Json::array()}}, "messages"},
         {{{"messages", "Hello"}}, "messages"},
         {chat_request("Hello", {{"stream", "yes"}}), "stream"},
         {chat_request("Hello", {{"max_tokens", -1}}), "max_tokens"},
         {chat_request("Hello", {{"tools", "calculator"}}), "tools"}}};
    for (const auto& [body, param] : cases) {
        const Json error = error_of(post(body.dump()), 400);
        CHECK_MESSAGE(error["param"].dump().find(param) != std::string::npos, error.dump());
    }
    Json strange = chat_request("Hello");
    strange["messages"][0]["role"] = "king";
    CHECK(error_of(post(strange.dump()), 400)["param"].get<std::string>().starts_with("messages"));
}

TEST_CASE("415, 405 and 404 have OpenAI's shape, too") {
    const Site site(tenant_toml("acme", ""));
    Server server = site.serve();
    const std::string body = chat_request("Hello").dump();
    for (const char* type : {"text/plain", "application/x-www-form-urlencoded"}) {
        error_of(server.send("POST", "/acme/v1/chat/completions", {{"Content-Type", type}}, body), 415);
    }
    const http::Response wrong = server.get("/acme/v1/chat/completions");
    error_of(wrong, 405);
    CHECK(field(wrong, "Allow").find("POST") != std::string::npos);
    for (const char* path : {"/v1", "/v1/", "/v1/embeddings", "/v1/chat", "/v1/chat/completions/x", "/v1/responses",
                             "/acme/v1/completions", "/acme/v1/audio/speech"}) {
        CAPTURE(path);
        error_of(server.get(path), 404);
        error_of(server.send("POST", path, {{"Content-Type", "application/json"}}, body), 404);
    }
    const Json error = error_of(complete(server, chat_request("x", {{"model", "gpt-nope"}})), 404);
    CHECK(error["code"] == "model_not_found");
}

TEST_CASE("401 is the same for every reason") {
    Site site(tenant_toml("open", ""));
    const std::string good = site.add("acme");
    const std::string revoked = site.create_key({"acme"});
    site.add("asleep");
    const std::string suspended = site.create_key({"asleep"});
    Server server = site.serve();
    REQUIRE(site.run({"key", "revoke", key_id(revoked)}).exit == 0);
    REQUIRE(site.run({"tenant", "suspend", "asleep"}).exit == 0);
    const auto refused = [&](const std::string& key) {
        return complete(server, chat_request("x"), bearer(key), "/v1").status == 401;
    };
    REQUIRE(time_until([&] { return refused(revoked) && refused(suspended); }, std::chrono::seconds(5)));
    std::string unknown = good;
    unknown.back() = unknown.back() == '0' ? '1' : '0';
    struct Case {
        const char* base;
        http::Fields who;
    };
    const std::vector<Case> cases{{"/v1", {}},
                                  {"/v1", bearer("")},
                                  {"/v1", bearer("sk-nonsense")},
                                  {"/v1", bearer(unknown)},
                                  {"/v1", bearer(revoked)},
                                  {"/v1", bearer(suspended)},
                                  {"/acme/v1", {}},
                                  {"/nobody/v1", bearer(good)},
                                  {"/open/v1", bearer(good)},
                                  {"/asleep/v1", bearer(suspended)}};
    std::set<std::string> bodies;
    std::set<std::string> heads;
    for (const Case& one : cases) {
        for (http::Response reply : {complete(server, chat_request("x"), one.who, one.base),
                                     server.send("GET", std::string(one.base) + "/models", one.who)}) {
            CHECK(error_of(reply, 401)["code"] == "invalid_api_key");
            bodies.insert(reply.body);
            std::string head;
            for (const auto& [name, value] : reply.fields) {
                head += name == "Date" || name == "X-Request-Id" ? "" : name + ": " + value + "\n";
            }
            heads.insert(head);
        }
    }
    CHECK(bodies.size() == 1);
    CHECK_MESSAGE(heads.size() == 1, *heads.begin(), *heads.rbegin());
    CHECK(complete(server, chat_request("x"), bearer(good), "/v1").status == 200);
}

TEST_CASE("the list of models: default always works, others with custom-models") {
    const ScriptedUpstream upstream(chat({"x"}));
    const Site site(model_toml(upstream) + tenant_toml("acme", "model = \"big\"\nmodels = [\"builtin\"]\n") +
                    tenant_toml("plain", "model = \"big\"\n", "basic"));
    Server server = site.serve();
    const auto ids = [&](const std::string& tenant) {
        std::set<std::string> found;
        const Json list = parse_json(server.get("/" + tenant + "/v1/models").body);
        CHECK(list["object"] == "list");
        for (const Json& model : list["data"]) {
            CHECK(names_of(model) == std::set<std::string>{"id", "object", "created", "owned_by"});
            CHECK(model["object"] == "model");
            found.insert(model["id"]);
        }
        return found;
    };
    CHECK(ids("acme") == std::set<std::string>{"default", "big", "builtin"});
    CHECK(ids("plain") == std::set<std::string>{"default", "big"});
    CHECK(parse_json(server.get("/acme/v1/models/default").body)["id"] == "default");
    CHECK(parse_json(server.get("/acme/v1/models/builtin").body)["id"] == "builtin");
    CHECK(error_of(server.get("/acme/v1/models/gpt-nope"), 404)["code"] == "model_not_found");
    CHECK(error_of(server.get("/plain/v1/models/builtin"), 404)["code"] == "model_not_found");
    const auto ask = [&](const std::string& tenant, const std::string& model) {
        return complete(server, chat_request("Hello", {{"model", model}}), {}, "/" + tenant + "/v1");
    };
    CHECK(answer_of(ask("acme", "big")) == "x");
    CHECK(answer_of(ask("acme", "default")) == "x");
    CHECK(answer_of(ask("acme", "builtin")).find("Received") != std::string::npos);
    CHECK(error_of(ask("plain", "builtin"), 404)["code"] == "model_not_found");
    CHECK(answer_of(ask("plain", "big")) == "x");
}

}  // namespace
}  // namespace mt::test
