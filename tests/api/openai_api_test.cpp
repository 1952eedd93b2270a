// OpenAI's surface over the builtin model.

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "api/chat_reply.h"
#include "api/endpoints.h"

using namespace mt;
using api::Json;
using test::Endpoints;
using test::Reply;

namespace {

std::string body_of(const std::string& text, const std::string& more = {}) {
    return R"({"messages":[{"role":"user","content":)" + Json(text).dump() + "}]" + (more.empty() ? "" : "," + more) +
           "}";
}

http::Fields bearer(const std::string& key) {
    return {{"Authorization", "Bearer " + key}};
}

// {"error":{message, type, param, code}} and nothing else.
bool is_openai_error(const Reply& reply) {
    const Json json = reply.json();
    const Json error = json.value("error", Json::object());
    return reply.type() == "application/json" && json.size() == 1 && error.size() == 4 &&
           error["message"].is_string() && error["type"].is_string() && error.contains("param") &&
           error.contains("code") && !reply.field("X-Request-Id").empty();
}

constexpr const char* k_weather = R"("tools":[{"type":"function","function":{"name":"weather","parameters":{}}}])";

}  // namespace

TEST_CASE("a complete answer has OpenAI's fields, in their order, and no blanks") {
    Endpoints house;
    const Reply reply = house.complete(body_of("Hello", R"("model":"builtin")"));
    REQUIRE(reply.status() == 200);
    CHECK(reply.type() == "application/json");
    const std::string id = "chatcmpl-" + reply.field("X-Request-Id");
    const Json json = reply.json();
    const std::int64_t created = json["created"];
    CHECK(reply.body() ==
          "{\"id\":\"" + id + R"(","object":"chat.completion","created":)" + std::to_string(created) +
              R"(,"model":"builtin","choices":[{"index":0,"message":{"role":"assistant","content":"[Acme] Received: )"
              R"(Hello\nAvailable features: [basic-chat]\nProcessing with Basic tier configuration","refusal":null},)"
              R"("logprobs":null,"finish_reason":"stop"}],"usage":)" +
              json["usage"].dump() + "}");
    const std::int64_t prompt = json["usage"]["prompt_tokens"];
    const std::int64_t completion = json["usage"]["completion_tokens"];
    CHECK(prompt > 0);
    CHECK(completion > 0);
    CHECK(json["usage"] == Json{{"prompt_tokens", prompt},
                                {"completion_tokens", completion},
                                {"total_tokens", prompt + completion},
                                {"estimated", true}});
    CHECK(house.totals("acme").of(Counter::tokens_out) == completion);
    CHECK(reply.field("X-Tenant-ID") == "acme");
    CHECK_FALSE(reply.field("X-Processing-Time-Ms").empty());
    CHECK(reply.field("X-Cache") == "MISS");
    CHECK(reply.field("x-ratelimit-limit-requests") == "10");
    CHECK(reply.field("x-ratelimit-remaining-requests") == "9");
    CHECK(reply.field("x-ratelimit-reset-requests") == "6s");
    CHECK(reply.field("x-ratelimit-limit-tokens").empty());
}

TEST_CASE("usage that a server has counted is not marked, and further fields of a message are passed on") {
    Choice choice;
    choice.refusal = "no";
    choice.fields = R"({"reasoning_content": "why", "content": "forged"})";
    choice.logprobs = R"({ "content" : [] })";
    choice.finish_reason = "stop";
    CHECK(api::completion_json({"i", 7}, "m", {choice}, {1, 2, false}) ==
          R"({"id":"i","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":)"
          R"({"role":"assistant","content":null,"refusal":"no","reasoning_content":"why"},"logprobs":{"content":[]},)"
          R"("finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}})");
    Choice empty;
    empty.finish_reason = "length";
    const Json two = Json::parse(api::completion_json({"i", 7}, "m", {choice, empty}, {}));
    CHECK(two["choices"].size() == 2);
    CHECK(two["choices"][1]["index"] == 1);
    CHECK(two["choices"][1]["message"] == Json{{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}});
    CHECK(two["choices"][1]["finish_reason"] == "length");
}

TEST_CASE("a client's tool: its call comes back, and its result is answered") {
    Endpoints house;
    const Reply called = house.complete(body_of("call weather {\"city\": \"Rome\"}", k_weather));
    REQUIRE(called.status() == 200);
    const Json choice = called.json()["choices"][0];
    CHECK(choice["finish_reason"] == "tool_calls");
    CHECK(choice["message"]["content"].is_null());
    REQUIRE(choice["message"]["tool_calls"].size() == 1);
    const Json call = choice["message"]["tool_calls"][0];
    CHECK(call["type"] == "function");
    CHECK(call["function"] == Json{{"name", "weather"}, {"arguments", "{\"city\": \"Rome\"}"}});
    Json next = Json::parse(body_of("call weather {\"city\": \"Rome\"}", k_weather));
    next["messages"].push_back(choice["message"]);
    next["messages"].push_back({{"role", "tool"}, {"tool_call_id", call["id"]}, {"content", "sunny"}});
    const Reply answered = house.complete(next.dump());
    REQUIRE(answered.status() == 200);
    CHECK(answered.json()["choices"][0]["finish_reason"] == "stop");
    CHECK(answered.json()["choices"][0]["message"]["content"].get<std::string>().find("sunny") != std::string::npos);
}

TEST_CASE("a stream is a stream whatever Accept says, and counted before its end") {
    Endpoints house;
    const Reply reply = house.complete(body_of("Hello", R"("stream":true,"stream_options":{"include_usage":true})"),
                                       {{"Accept", "application/json"}});
    CHECK(reply.status() == 200);
    CHECK(reply.type() == "text/event-stream");
    CHECK(reply.field("Cache-Control") == "no-cache");
    CHECK(reply.field("X-Accel-Buffering") == "no");
    CHECK(reply.field("X-Cache") == "MISS");
    CHECK(reply.field("X-Tenant-ID") == "acme");
    CHECK(reply.field("x-ratelimit-remaining-requests") == "9");
    CHECK(reply.body().find("data: {\"id\":\"chatcmpl-" + reply.field("X-Request-Id") + "\"") == 0);
    CHECK(reply.body().find(R"("choices":[],"usage":{"prompt_tokens":)") != std::string::npos);
    CHECK(reply.body().ends_with("data: [DONE]\n\n"));
    CHECK(house.totals("acme").of(Counter::served) == 1);
}

TEST_CASE("an error before the first event is an ordinary reply, streamed or not") {
    Endpoints house;
    const std::int64_t before = house.pipeline.invalid_requests;
    for (const char* stream : {"false", "true"}) {
        const std::string more = std::string("\"stream\":") + stream;
        const Reply unknown = house.complete(body_of("x", more + R"(,"model":"gpt-9")"));
        CHECK(unknown.status() == 404);
        CHECK(is_openai_error(unknown));
        CHECK(unknown.json()["error"]["code"] == "model_not_found");
        CHECK(unknown.json()["error"]["param"] == "model");
        const Reply impossible = house.complete(body_of("x", more + R"(,"response_format":{"type":"json_object"})"));
        CHECK(impossible.status() == 400);
        CHECK(is_openai_error(impossible));
        CHECK(impossible.json()["error"]["param"] == "response_format");
        CHECK(impossible.field("X-Tenant-ID") == "acme");
        CHECK(house.complete("{\"messages\":" + std::string(stream) + "}").json()["error"]["param"] == "messages");
        CHECK(house.complete("{", {}).status() == 400);
    }
    CHECK(house.pipeline.invalid_requests == before + 8);
    CHECK(house.call("POST", "/acme/v1/chat/completions", {{"Content-Type", "text/plain"}}, body_of("x")).status() ==
          415);
    CHECK(house.totals("acme").requests() == 0);
}

TEST_CASE("the key names the tenant under /v1") {
    Endpoints house;
    const Reply reply = house.complete(body_of("Hello"), bearer(house.key), "/v1");
    CHECK(reply.status() == 200);
    CHECK(reply.field("X-Tenant-ID") == "locked");
    CHECK(house.complete(body_of("Hello"), {{"X-API-Key", house.key}}, "/v1").field("X-Cache") == "HIT");
    CHECK(house.complete(body_of("Hello"), bearer(house.key), "/locked/v1").status() == 200);
    CHECK(house.totals("locked").of(Counter::served) == 3);
}

TEST_CASE("whoever is not let in gets one and the same reply") {
    Endpoints house;
    const std::string revoked = house.catalog->create_key({"locked"}, "ann")->text;
    REQUIRE(house.catalog->revoke_key(revoked.substr(4, 12), "ann"));
    REQUIRE(house.add("asleep"));
    const std::string asleep = house.catalog->create_key({"asleep"}, "ann")->text;
    REQUIRE(house.catalog->set_suspended("asleep", true, "ann"));
    REQUIRE(house.tenants.refresh());
    const std::string operators = house.catalog->create_key({}, "ann")->text;
    std::string wrong = house.key;
    wrong.back() = wrong.back() == '0' ? '1' : '0';
    const std::string unknown = "mta_aaaaaaaaaaaa_" + std::string(64, '0');
    std::set<std::string> replies;
    for (const char* path : {"/v1", "/locked/v1", "/nobody/v1"}) {
        for (const http::Fields& fields :
             std::vector<http::Fields>{{},
                                       bearer(""),
                                       bearer("sk-123"),
                                       bearer(wrong),
                                       bearer(unknown),
                                       bearer(revoked),
                                       bearer(asleep),
                                       bearer(operators),
                                       {{"Authorization", "Basic x"}},
                                       {{"X-API-Key", house.key}, {"Authorization", "Bearer " + house.key}}}) {
            for (const char* body : {R"({"messages":[{"role":"user","content":"x"}]})", "{", ""}) {
                const Reply reply = house.complete(body, fields, path);
                CHECK(reply.status() == 401);
                CHECK(is_openai_error(reply));
                CHECK(reply.field("WWW-Authenticate") == "Bearer");
                CHECK(reply.field("X-Tenant-ID").empty());
                replies.insert(reply.body());
            }
            replies.insert(house.call("GET", std::string(path) + "/models", fields).body());
        }
    }
    CHECK(replies ==
          std::set<std::string>{R"({"error":{"message":"Incorrect API key provided.",)"
                                R"("type":"invalid_request_error","param":null,"code":"invalid_api_key"}})"});
    CHECK(house.complete(body_of("x"), bearer(wrong), "/acme/v1").status() == 401);  // open, but the key is wrong
}

TEST_CASE("keys of bare /v1 follow their tenant: new, rotated, revoked, configured, removed") {
    Endpoints house;
    const auto status = [&](const std::string& key) {
        return house.complete(body_of("x"), bearer(key), "/v1").status();
    };
    CHECK(status(house.key) == 200);
    const std::string second = house.catalog->create_key({"locked"}, "ann")->text;
    REQUIRE(house.tenants.refresh());
    CHECK(status(second) == 200);
    const std::string fresh =
        house.catalog->rotate_key(second.substr(4, 12), std::chrono::milliseconds{0}, "ann")->text;
    REQUIRE(house.catalog->revoke_key(house.key.substr(4, 12), "ann"));
    REQUIRE(house.tenants.refresh());
    CHECK(status(second) == 401);
    CHECK(status(house.key) == 401);
    CHECK(status(fresh) == 200);

    const std::string own = "mta_bbbbbbbbbbbb_" + std::string(64, '1');
    const auto hash = [](const std::string& key) {
        return std::vector<std::string>{key.substr(4, 12) + ":" + to_hex(sha256(key))};
    };
    REQUIRE(house.add("configured", {{"key_hashes", hash(own)}}));
    CHECK(status(own) == 200);  // found in the registry: the tenant was not loaded
    const std::string other = "mta_cccccccccccc_" + std::string(64, '2');
    const SettingsCheck any = [](const Settings&) { return Result<void>{}; };
    REQUIRE(house.catalog->update_tenant("configured", {{"key_hashes", Value(hash(other))}}, any, "ann"));
    REQUIRE(house.tenants.refresh());
    CHECK(status(own) == 401);
    CHECK(status(other) == 200);

    REQUIRE(house.add("heir"));
    CHECK(house.call("GET", "/heir/v1/models", bearer(other)).status() == 401);  // now it is loaded
    REQUIRE(house.catalog->update_tenant("heir", {{"key_hashes", Value(hash(other))}}, any, "ann"));
    REQUIRE(house.catalog->update_tenant("configured", {{"key_hashes", std::nullopt}}, any, "ann"));
    REQUIRE(house.tenants.refresh());
    CHECK(house.complete(body_of("x"), bearer(other), "/v1").field("X-Tenant-ID") == "heir");

    REQUIRE(house.catalog->begin_removal("locked", "ann"));
    REQUIRE(house.tenants.refresh());
    CHECK(status(fresh) == 401);
    CHECK(house.catalog->key_owner(fresh.substr(4, 12)).error().code == Code::not_found);
    CHECK(*house.catalog->key_owner(other.substr(4, 12)) == "heir");
}

TEST_CASE("models: the alias and all that the tenant has, never counted") {
    Endpoints house;
    const Reply list = house.call("GET", "/v1/models", bearer(house.key));
    CHECK(list.status() == 200);
    CHECK(list.type() == "application/json");
    const Json json = list.json();
    CHECK(json["object"] == "list");
    REQUIRE(json["data"].size() == 2);
    CHECK(json["data"][0]["id"] == "default");
    CHECK(json["data"][1]["id"] == "builtin");
    for (const Json& model : json["data"]) {
        CHECK(model.size() == 4);
        CHECK(model["object"] == "model");
        CHECK(model["created"].is_number_integer());
        CHECK(model["owned_by"] == "mtagent");
        const std::string id = model["id"];
        CHECK(house.call("GET", "/acme/v1/models/" + id).json() == house.call("HEAD", "/acme/v1/models/" + id).json());
        CHECK(house.call("GET", "/v1/models/" + id, bearer(house.key)).json() == model);
    }
    CHECK(house.call("GET", "/acme/v1/models/%62uiltin").status() == 200);
    for (const char* id : {"", "gpt-9", "a/b", "a%2Fb", "%00", "builtin/"}) {
        const Reply none = house.call("GET", std::string("/acme/v1/models/") + id);
        CHECK(none.status() == 404);
        CHECK(is_openai_error(none));
        CHECK(none.json()["error"]["code"] == "model_not_found");
    }
    CHECK(house.totals("acme").requests() == 0);
    CHECK(house.totals("locked").requests() == 0);
}

TEST_CASE("other paths and methods are refused in OpenAI's words") {
    Endpoints house;
    for (const char* path : {"/v1", "/v1/", "/v1/embeddings", "/v1/chat", "/acme/v1", "/nobody/v1/responses"}) {
        for (const char* method : {"GET", "POST", "DELETE"}) {
            const Reply reply = house.call(method, path);
            CHECK(reply.status() == 404);
            CHECK(is_openai_error(reply));
        }
    }
    const Reply chat = house.call("GET", "/v1/chat/completions");
    CHECK(chat.status() == 405);
    CHECK(chat.field("Allow") == "POST");
    CHECK(is_openai_error(chat));
    CHECK(house.call("DELETE", "/acme/v1/models/x").field("Allow") == "GET, HEAD");
}

TEST_CASE("limits in OpenAI's words") {
    Endpoints house;
    REQUIRE(house.add_open("small", {{"rate_limit", std::int64_t{2}}}));
    for (int i = 0; i < 2; ++i) {
        CHECK(house.complete(body_of("x"), {}, "/small/v1").status() == 200);
    }
    const Reply denied = house.complete(body_of("x", "\"stream\":true"), {}, "/small/v1");
    CHECK(denied.status() == 429);
    CHECK(is_openai_error(denied));
    CHECK(denied.json()["error"]["code"] == "rate_limit_exceeded");
    CHECK(denied.field("retry-after") == "30");
    CHECK(denied.field("retry-after-ms") == "30000");
    CHECK(denied.field("x-should-retry").empty());
    CHECK(denied.field("x-ratelimit-remaining-requests") == "0");
    CHECK(denied.field("x-ratelimit-reset-requests") == "1m0s");
    CHECK(denied.field("X-Tenant-ID") == "small");
    house.clock.advance(std::chrono::seconds(30));
    CHECK(house.complete(body_of("x"), {}, "/small/v1").status() == 200);
}

TEST_CASE("the cache: a hit is the same answer, as a stream when one is wanted, unless the client wants a fresh one") {
    Endpoints house;
    const Reply first = house.complete(body_of("Hello"));
    const Reply second = house.complete(body_of("Hello", R"("user":"u")"));
    CHECK(second.field("X-Cache") == "HIT");
    CHECK(second.json()["choices"] == first.json()["choices"]);
    CHECK(second.json()["usage"] == first.json()["usage"]);
    CHECK(second.json()["id"] != first.json()["id"]);
    const Reply streamed = house.complete(body_of("Hello", "\"stream\":true"));
    CHECK(streamed.field("X-Cache") == "HIT");
    CHECK(streamed.type() == "text/event-stream");
    CHECK(streamed.body().find("[Acme] Received: Hello") != std::string::npos);
    CHECK(streamed.body().ends_with("data: [DONE]\n\n"));
    for (const char* directive : {"no-cache", "max-age=0, no-store"}) {
        CHECK(house.complete(body_of("Hello"), {{"Cache-Control", directive}}).field("X-Cache") == "MISS");
    }
    CHECK(house.complete(body_of("Hello", "\"seed\":1")).field("X-Cache") == "MISS");
}
