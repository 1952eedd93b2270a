#include <doctest/doctest.h>

#include <map>
#include <string>

#include "api/endpoints.h"
#include "api/route.h"

using namespace mt;
using namespace std::chrono_literals;
using api::Json;
using api::Surface;
using test::Endpoints;
using test::is_problem;
using test::k_token;
using test::Reply;

TEST_CASE("routes are told by shape") {
    const std::map<std::string, Surface> paths{
        {"/acme", Surface::ask},
        {"/no-such-tenant", Surface::ask},
        {"/..", Surface::ask},
        {"/%2e%2e", Surface::ask},
        {"/acme/stats", Surface::tenant_stats},
        {"/acme/sessions", Surface::sessions},
        {"/acme/sessions/s1", Surface::session},
        {"/stats", Surface::stats},
        {"/metrics", Surface::metrics},
        {"/health", Surface::health},
        {"/livez", Surface::live},
        {"/health/ready", Surface::ready},
        {"/admin/tenants", Surface::admin_tenants},
        {"/admin/tenants/x", Surface::admin_tenant},
        {"/admin/tenants/x/keys", Surface::admin_keys},
        {"/admin/tenants/x/keys/y", Surface::admin_key},
        {"/admin/tenants/x/models", Surface::admin_models},
        {"/admin/tenants/x/models/y", Surface::admin_model},
        {"/", Surface::none},
        {"", Surface::none},
        {"//", Surface::none},
        {"/acme/", Surface::none},
        {"/v1", Surface::openai_none},
        {"/v1/", Surface::openai_none},
        {"/v1/stats", Surface::openai_none},
        {"/v1/chat/completions", Surface::chat},
        {"/v1/chat/completions/", Surface::openai_none},
        {"/v1/models", Surface::models},
        {"/v1/models/a/b", Surface::model},
        {"/acme/v1", Surface::openai_none},
        {"/acme/v1/embeddings", Surface::openai_none},
        {"/acme/v1/chat/completions", Surface::chat},
        {"/acme/v1/models", Surface::models},
        {"/acme/v1/models/m", Surface::model},
        {"/admin/v1/models", Surface::none},
        {"/v1x", Surface::ask},
        {"/admin", Surface::none},
        {"/acme/unknown", Surface::none},
        {"/%73tats", Surface::none},
    };
    for (const auto& [path, surface] : paths) {
        CHECK_MESSAGE(api::parse_route(path).surface == surface, path);
    }
    CHECK(api::parse_route("/acme/v1/models/qwen%2F3/x").arguments == std::vector<std::string>{"acme", "qwen/3/x"});
    CHECK(api::parse_route("/acme/v1/models/m").tenant() == "acme");
    CHECK(api::parse_route("/v1/models/m").tenant().empty());
    CHECK(api::parse_route("/a%2Fb").arguments == std::vector<std::string>{"a/b"});
}

TEST_CASE("wrong methods are 405 with Allow, whether or not the tenant exists") {
    Endpoints house;
    for (const char* path : {"/acme", "/nobody"}) {
        const Reply reply = house.call("PUT", path);
        CHECK(reply.status() == 405);
        CHECK(reply.field("Allow") == "GET, POST");
        CHECK(is_problem(reply));
    }
    CHECK(house.call("POST", "/stats").field("Allow") == "GET, HEAD");
    CHECK(house.call("GET", "/nothing/here").status() == 404);
}

TEST_CASE("asking: text, JSON in and out, and what is refused") {
    Endpoints house;
    const Reply text = house.call("GET", "/acme?q=Hello");
    CHECK(text.status() == 200);
    CHECK(text.body() ==
          "[Acme] Received: Hello\nAvailable features: [basic-chat]\nProcessing with Basic tier configuration\n");
    CHECK(text.field("X-Tenant-ID") == "acme");
    CHECK(text.field("X-Cache") == "MISS");
    CHECK(text.field("RateLimit-Policy") == "\"requests\";q=10;w=60");
    CHECK(text.field("RateLimit") == "\"requests\";r=9;t=6");
    const Reply json = house.call("GET", "/acme?q=Hello", {{"Accept", "application/json"}});
    CHECK(json.json()["answer"] == text.body().substr(0, text.body().size() - 1));
    CHECK(json.json()["cached"] == true);
    CHECK(json.field("X-Cache") == "HIT");
    CHECK(house.call("POST", "/acme", {{"Content-Type", "text/plain"}}, "Hello").status() == 200);
    const Reply posted = house.call("POST", "/acme", {{"Content-Type", "application/json; charset=utf-8"}},
                                    R"({"message": "Hello", "session": "s1"})");
    CHECK(posted.status() == 200);
    CHECK(house.call("POST", "/acme", {{"Content-Type", "application/x-www-form-urlencoded"}}, "q=x").status() == 415);
    for (const char* body :
         {"{", "[]", "{}", R"({"message": 5})", R"({"mesage": "x"})", R"({"message":"x","session":1})"}) {
        CHECK_MESSAGE(house.call("POST", "/acme", {{"Content-Type", "application/json"}}, body).status() == 400, body);
    }
    for (const char* target : {"/acme", "/acme?q=", "/acme?q=%ff", "/acme?q=a%00b", "/acme?q=%zz", "/acme?q=a&q=b",
                               "/acme?q=a&session=a%2Fb", "/acme?q=a&session=.."}) {
        const Reply reply = house.call("GET", target);
        CHECK_MESSAGE(reply.status() == 400, target);
        CHECK(is_problem(reply));
    }
}

TEST_CASE("JSON is chosen by quality, and by order when equal") {
    Endpoints house;
    const std::map<std::string, bool> accepts{{"application/json", true},
                                              {"text/plain", false},
                                              {"*/*", false},
                                              {"application/json, text/plain, */*", true},
                                              {"text/plain, application/json", false},
                                              {"text/plain;q=0.5, application/json", true},
                                              {"application/json;q=0, */*", false}};
    for (const auto& [accept, json] : accepts) {
        house.clock.advance(1min);
        CHECK_MESSAGE((house.call("GET", "/acme?q=x", {{"Accept", accept}}).type() == "application/json") == json,
                      accept);
    }
}

TEST_CASE("a denied call says which limit and how long") {
    Endpoints house;
    for (int i = 0; i < 10; ++i) {
        CHECK(house.call("GET", "/acme?q=x" + std::to_string(i)).status() == 200);
    }
    const Reply reply = house.call("GET", "/acme?q=x");
    CHECK(reply.status() == 429);
    CHECK(reply.field("Retry-After") == "6");
    CHECK(reply.json()["reason"] == "requests");
    CHECK(reply.field("RateLimit") == "\"requests\";r=0;t=60");
    CHECK(is_problem(reply));
}

TEST_CASE("401 is the same for all, and says nothing of the tenant") {
    Endpoints house;
    const Reply unknown = house.call("GET", "/nobody?q=x");
    const Reply missing = house.call("GET", "/locked?q=x");
    const Reply empty = house.call("GET", "/locked");
    CHECK(unknown.status() == 401);
    for (const Reply* reply : {&missing, &empty}) {
        Json a = unknown.json();
        Json b = reply->json();
        a.erase("request_id");
        b.erase("request_id");
        CHECK(a == b);
        CHECK(reply->field("X-Tenant-ID").empty());
        CHECK(reply->field("X-Processing-Time-Ms").empty());
        CHECK(reply->field("WWW-Authenticate") == "Bearer");
    }
    CHECK(house.call("GET", "/locked?q=x", {{"Authorization", "Bearer " + house.key}}).status() == 200);
    CHECK(house.call("GET", "/locked?q=x", {{"X-API-Key", house.key}}).status() == 200);
    CHECK(house.call("GET", "/locked?q=x", {{"Authorization", "Basic " + house.key}}).status() == 401);
}

TEST_CASE("/stats and /metrics: open to this machine, closed to web pages and proxies") {
    Endpoints house;
    for (const char* path : {"/stats", "/metrics"}) {
        CHECK(house.call("GET", path).status() == 200);
        CHECK(house.call("GET", path, {{"Host", "localhost:8080"}, {"Sec-Fetch-Site", "same-origin"}}).status() == 200);
        const std::vector<http::Fields> strangers{{{"Host", "evil.example"}},
                                                  {{"Host", "127.0.0.1.evil.example"}},
                                                  {{"Origin", "http://evil.example"}},
                                                  {{"Origin", "null"}},
                                                  {{"Sec-Fetch-Site", "cross-site"}},
                                                  {{"Sec-Fetch-Site", "same-site"}},
                                                  {{"X-Forwarded-For", "10.0.0.1"}},
                                                  {{"Forwarded", "for=10.0.0.1"}},
                                                  {{"Via", "1.1 proxy"}},
                                                  {{"Authorization", "Bearer wrong"}}};
        for (const http::Fields& fields : strangers) {
            CHECK_MESSAGE(house.call("GET", path, fields).status() == 401, fields[0].second);
        }
        http::Fields proxied{{"X-Forwarded-For", "10.0.0.1"}, {"Authorization", "Bearer " + k_token}};
        CHECK(house.call("GET", path, proxied).status() == 200);
    }
    house.services.loopback = false;
    CHECK(house.call("GET", "/stats").status() == 401);
}

TEST_CASE("/stats has the fields of the reference example") {
    Endpoints house;
    CHECK(house.call("GET", "/acme?q=x").status() == 200);
    const Json stats = house.call("GET", "/stats").json();
    CHECK(stats["acme"]["requests"] == 1);
    CHECK(stats["acme"]["allowed"] == 1);
    CHECK(stats["acme"]["denied"] == 0);
    CHECK(stats["acme"]["avg_latency_ms"].is_number());
    CHECK(stats["locked"]["requests"] == 0);
    CHECK(house.call("GET", "/metrics").body().find("tenant_requests_total{tenant_id=\"acme\",status=\"allowed\"} 1") !=
          std::string::npos);
}

TEST_CASE("/admin always needs an operator") {
    Endpoints house;
    const NewKey looker = *house.catalog->create_key({"", "looker", std::nullopt, true}, "ann");
    REQUIRE(house.tenants.refresh());
    for (const char* path : {"/admin/tenants", "/admin/tenants/acme", "/admin/tenants/acme/keys"}) {
        CHECK(house.call("GET", path).status() == 401);
        CHECK(house.call("GET", path, {{"Authorization", "Bearer " + house.key}}).status() == 401);
        CHECK(house.call("GET", path, {{"Authorization", "Bearer " + looker.text}}).status() == 200);
        CHECK(house.as_operator("GET", path).status() == 200);
    }
    const http::Fields look{{"Authorization", "Bearer " + looker.text}};
    CHECK(house.call("POST", "/admin/tenants", look).status() == 403);
    CHECK(house.call("PATCH", "/admin/tenants/acme", look).status() == 403);
    CHECK(house.call("DELETE", "/admin/tenants/acme", look).status() == 403);
    CHECK(house.call("DELETE", "/admin/tenants/locked/keys/x", look).status() == 403);
}

TEST_CASE("a tenant's life over /admin") {
    Endpoints house;
    const Reply made = house.as_operator("POST", "/admin/tenants", {{"id", "fresh"}, {"plan", "professional"}});
    REQUIRE(made.status() == 201);
    CHECK(made.field("Location") == "/admin/tenants/fresh");
    CHECK(made.json()["rate_limit"] == 100);
    const http::Fields key{{"Authorization", "Bearer " + made.json()["api_key"].get<std::string>()}};
    CHECK(house.call("GET", "/fresh?q=x", key).status() == 200);
    CHECK(house.as_operator("POST", "/admin/tenants", {{"id", "fresh"}}).status() == 409);

    Reply changed = house.as_operator("PATCH", "/admin/tenants/fresh", {{"rate_limit", 5}, {"cache_ttl", "90s"}});
    CHECK(changed.json()["rate_limit"] == 5);
    CHECK(changed.json()["cache_ttl"] == "90s");
    changed = house.as_operator("PATCH", "/admin/tenants/fresh", {{"rate_limit", nullptr}});
    CHECK(changed.json()["rate_limit"] == 100);
    CHECK(house.as_operator("PATCH", "/admin/tenants/fresh", {{"status", "suspended"}}).json()["status"] ==
          "suspended");
    CHECK(house.call("GET", "/fresh?q=x", key).status() == 401);
    CHECK(house.as_operator("PATCH", "/admin/tenants/fresh", {{"status", "active"}}).status() == 200);
    CHECK(house.call("GET", "/fresh?q=x", key).status() == 200);

    const Reply second = house.as_operator("POST", "/admin/tenants/fresh/keys", {{"name", "ci"}, {"expires", "1h"}});
    REQUIRE(second.status() == 201);
    const auto key_id = second.json()["key_id"].get<std::string>();
    const std::string text = second.json()["api_key"].get<std::string>();
    CHECK(house.call("GET", "/fresh?q=x", {{"X-API-Key", text}}).status() == 200);
    const Reply keys = house.as_operator("GET", "/admin/tenants/fresh/keys");
    CHECK(keys.json()["keys"].size() == 2);
    CHECK(keys.body().find(text) == std::string::npos);
    CHECK(house.as_operator("DELETE", "/admin/tenants/acme/keys/" + key_id).status() == 404);
    CHECK(house.as_operator("DELETE", "/admin/tenants/fresh/keys/" + key_id).status() == 204);
    CHECK(house.call("GET", "/fresh?q=x", {{"X-API-Key", text}}).status() == 401);

    CHECK(house.as_operator("DELETE", "/admin/tenants/fresh").status() == 204);
    CHECK(house.as_operator("GET", "/admin/tenants/fresh").status() == 404);
    CHECK(house.as_operator("DELETE", "/admin/tenants/fresh").status() == 404);
    CHECK(house.call("GET", "/fresh?q=x", key).status() == 401);
}

TEST_CASE("bad input over /admin changes nothing and says what would be right") {
    Endpoints house;
    const std::vector<Json> bad{{{"name", "no id"}},
                                {{"id", 5}},
                                {{"id", "../x"}},
                                {{"id", "UPPER"}},
                                {{"id", "stats"}},
                                {{"id", std::string(49, 'a')}},
                                {{"id", "x"}, {"rate_limt", 5}},
                                {{"id", "x"}, {"rate_limit", "5"}},
                                {{"id", "x"}, {"rate_limit", 0}},
                                {{"id", "x"}, {"rate_limit", 18446744073709551615ULL}},
                                {{"id", "x"}, {"plan", "gold"}},
                                {{"id", "x"}, {"features", {"basic-chat", 5}}}};
    for (const Json& body : bad) {
        const Reply reply = house.as_operator("POST", "/admin/tenants", body);
        CHECK_MESSAGE(reply.status() == 400, body.dump());
        CHECK(is_problem(reply));
    }
    CHECK(house.catalog->tenants("", 10)->size() == 2);
    const Reply typo = house.as_operator("PATCH", "/admin/tenants/acme", {{"rate_limt", 5}});
    CHECK(typo.json()["detail"].get<std::string>().find("did you mean 'rate_limit'") != std::string::npos);
    CHECK(house.as_operator("PATCH", "/admin/tenants/nobody", {{"burst", 5}}).status() == 404);
    CHECK(house.as_operator("GET", "/admin/tenants?limit=0").status() == 400);
    CHECK(house.as_operator("GET", "/admin/tenants?limit=1").json()["next_cursor"] == "acme");
    CHECK(house.as_operator("GET", "/admin/tenants?limit=1&cursor=acme").json()["tenants"][0]["id"] == "locked");
}

TEST_CASE("sessions belong to their tenant") {
    Endpoints house;
    CHECK(house.call("GET", "/acme?q=Hello&session=s1").status() == 200);
    CHECK(house.call("GET", "/acme/sessions").json()["sessions"][0]["id"] == "s1");
    const Json shown = house.call("GET", "/acme/sessions/s1").json();
    CHECK(shown["turns"] == 1);
    CHECK(shown["messages"][0]["content"] == "Hello");
    CHECK(shown["messages"][0]["role"] == "user");
    const http::Fields other{{"Authorization", "Bearer " + house.key}};
    CHECK(house.call("GET", "/acme/sessions/s1", other).status() == 401);
    CHECK(house.call("GET", "/locked/sessions").status() == 401);
    CHECK(house.call("GET", "/locked/sessions", other).json()["sessions"].empty());
    CHECK(house.call("GET", "/locked/sessions/s1", other).status() == 404);
    CHECK(house.call("DELETE", "/acme/sessions/s1").status() == 204);
    CHECK(house.call("DELETE", "/acme/sessions/s1").status() == 404);
    CHECK(house.call("GET", "/acme/sessions/s1").status() == 404);
}

TEST_CASE("a tenant's own numbers: never charged, history for advanced-analytics alone") {
    Endpoints house;
    REQUIRE(house.add_open("pro", {{"plan", "professional"}}));
    CHECK(house.call("GET", "/pro?q=x").status() == 200);
    const Json stats = house.call("GET", "/pro/stats?since=1h").json();
    CHECK(stats["requests"] == 1);
    CHECK(stats["since"]["totals"]["requests"] == 1);
    CHECK(stats.contains("latency_ms"));
    const Reply refused = house.call("GET", "/acme/stats?since=1h");
    CHECK(refused.status() == 403);
    CHECK(refused.json()["reason"] == "advanced-analytics");
    for (int i = 0; i < 30; ++i) {
        CHECK(house.call("GET", "/acme/stats").status() == 200);
    }
    CHECK(house.call("GET", "/acme/stats").json()["requests"] == 0);
    CHECK_FALSE(house.call("GET", "/acme/stats").json().contains("latency_ms"));
}

TEST_CASE("readiness tells what is wrong") {
    Endpoints house;
    CHECK(house.call("GET", "/readyz").status() == 200);
    house.services.draining = true;
    const Reply draining = house.call("GET", "/readyz");
    CHECK(draining.status() == 503);
    CHECK(draining.json()["detail"].get<std::string>().find("shutting down") != std::string::npos);
    CHECK(house.call("GET", "/livez").status() == 200);
    CHECK(house.call("GET", "/health").body() == "OK\n");
}

TEST_CASE("an error of ours shows no detail") {
    Endpoints house;
    REQUIRE(house.files.remove("acme"));
    const Reply reply = house.call("GET", "/acme?q=x");
    CHECK(reply.status() == 503);
    CHECK(reply.body().find("acme") == std::string::npos);
    CHECK(house.call("GET", "/stats").status() == 200);  // the others' numbers are shown
    const Reply shown = house.as_operator("GET", "/admin/tenants/acme");
    CHECK(shown.status() == 500);
    CHECK(shown.body().find(".db") == std::string::npos);
}
