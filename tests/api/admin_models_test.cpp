// /admin/tenants/{id}/models

#include <doctest/doctest.h>

#include <string>

#include "api/endpoints.h"
#include "tenant/own_model.h"

using namespace mt;
using api::Json;
using test::Endpoints;
using test::is_problem;
using test::Reply;

namespace {

const std::string k_secret = "sk-hunter2-secret";
const std::string k_models = "/admin/tenants/big/models";

Json model_body(const std::string& name) {
    return {{"name", name}, {"base_url", "https://llm.example.com/v1"}, {"model", "gpt-x"}, {"api_key", k_secret}};
}

// With a tenant that may have models of its own.
struct ModelEndpoints : Endpoints {
    ModelEndpoints() {
        services.secret_box = [this] { return folder.secret_box(std::nullopt); };
        REQUIRE(add("big", {{"plan", "enterprise"}}));
    }
};

}  // namespace

TEST_CASE("a model is added, listed and removed, and no reply holds its key") {
    ModelEndpoints house;
    CHECK(house.as_operator("GET", k_models).json() == Json::parse(R"({"models":[]})"));
    const Reply added = house.as_operator("POST", k_models, model_body("gpt"));
    REQUIRE_MESSAGE(added.status() == 201, added.body());
    CHECK(added.field("Location") == k_models + "/gpt");
    const Json json = added.json();
    CHECK(json["name"] == "gpt");
    CHECK(json["base_url"] == "https://llm.example.com/v1");
    CHECK(json["model"] == "gpt-x");
    CHECK(json["has_key"] == true);
    CHECK(json.contains("created_at"));
    CHECK(json.size() == 5);
    const Reply listed = house.as_operator("GET", k_models);
    CHECK(listed.json()["models"] == Json::array({json}));
    for (const Reply& reply : {added, listed, house.as_operator("GET", "/admin/tenants/big")}) {
        CHECK(reply.body().find("hunter2") == std::string::npos);
    }
    const TenantRecord record = *house.catalog->tenant("big");
    CHECK(*open_own_key(record, record.models[0], *house.folder.secret_box(std::nullopt)) == k_secret);
    CHECK(house.as_operator("DELETE", k_models + "/gpt").status() == 204);
    CHECK(house.as_operator("DELETE", k_models + "/gpt").status() == 404);
    CHECK(house.as_operator("GET", k_models).json()["models"].empty());
    const Result<std::vector<AuditEvent>> history = house.catalog->history("big", 2);
    REQUIRE(history);
    Json events = Json::array();
    for (const AuditEvent& event : *history) {
        events.push_back(api::event_json(event));
    }
    CHECK(events[0]["action"] == "model.remove");
    CHECK(events[1]["action"] == "model.add");
    CHECK(events[1]["who"] == "operator token");
    CHECK(events[1]["subject"] == "gpt");
    CHECK(events.dump().find("hunter2") == std::string::npos);
}

TEST_CASE("what is refused, with its status, and without repeating a key") {
    ModelEndpoints house;
    const auto with = [](const char* field, const Json& value) {
        Json body = model_body("gpt");
        value.is_null() ? body.erase(field) : (body[field] = value, 0);
        return body;
    };
    for (const Json& body :
         {with("name", nullptr), with("base_url", nullptr), with("model", nullptr), with("name", "default"),
          with("name", "builtin"), with("name", 7), with("base_url", "llm.example.com"), with("model", ""),
          with("api_key", ""), with("api_key", "hunter2 x"), with("api_key", 5), with("key", "hunter2")}) {
        const Reply reply = house.as_operator("POST", k_models, body);
        CHECK_MESSAGE(reply.status() == 400, body.dump(), " -> ", reply.body());
        CHECK(is_problem(reply));
        CHECK(reply.body().find("hunter2") == std::string::npos);
    }
    CHECK(house.as_operator("POST", k_models, with("api_kye", "x")).json()["detail"] ==
          "unknown field 'api_kye' (did you mean 'api_key'?)");
    const Reply close = house.as_operator("POST", k_models, with("base_url", "http://169.254.169.254/v1"));
    CHECK(close.status() == 403);
    CHECK(close.json()["reason"] == "address");
    const Reply basic = house.as_operator("POST", "/admin/tenants/acme/models", model_body("gpt"));
    CHECK(basic.status() == 403);
    CHECK(basic.json()["reason"] == "custom-models");
    CHECK(house.as_operator("POST", "/admin/tenants/nobody/models", model_body("gpt")).status() == 404);
    CHECK(house.as_operator("GET", "/admin/tenants/nobody/models").status() == 404);
    CHECK(house.as_operator("GET", k_models).json()["models"].empty());
    CHECK(house.as_operator("POST", k_models, model_body("gpt")).status() == 201);
    CHECK(house.as_operator("POST", k_models, model_body("gpt")).status() == 409);
}

TEST_CASE("only operators who may change something change models") {
    ModelEndpoints house;
    CHECK(house.call("GET", k_models).status() == 401);
    CHECK(house.call("POST", k_models).status() == 401);
    CHECK(house.call("DELETE", k_models + "/gpt").status() == 401);
    KeyRequest request;
    request.name = "watcher";
    request.read_only = true;
    const std::string key = house.catalog->create_key(request, "ann")->text;
    REQUIRE(house.tenants.refresh());
    const http::Fields fields{{"Authorization", "Bearer " + key}, {"Content-Type", "application/json"}};
    CHECK(house.call("GET", k_models, fields).status() == 200);
    CHECK(house.call("POST", k_models, fields, model_body("gpt").dump()).status() == 403);
    CHECK(house.call("DELETE", k_models + "/gpt", fields).status() == 403);
    CHECK(house.as_operator("PUT", k_models).field("Allow") == "GET, HEAD, POST");
    CHECK(house.as_operator("GET", k_models + "/gpt").field("Allow") == "DELETE");
}

TEST_CASE("a model of its own can be a tenant's default") {
    ModelEndpoints house;
    const Json patch{{"model", "gpt"}};
    CHECK(house.as_operator("PATCH", "/admin/tenants/big", patch).status() == 400);
    REQUIRE(house.as_operator("POST", k_models, model_body("gpt")).status() == 201);
    const Reply changed = house.as_operator("PATCH", "/admin/tenants/big", patch);
    REQUIRE_MESSAGE(changed.status() == 200, changed.body());
    CHECK(changed.json()["model"] == "gpt");
    CHECK(house.as_operator("DELETE", k_models + "/gpt").status() == 409);
    CHECK(house.as_operator("PATCH", "/admin/tenants/big", Json{{"model", nullptr}}).status() == 200);
    CHECK(house.as_operator("DELETE", k_models + "/gpt").status() == 204);
}
