// /admin: registration and configuration while serving.

#include "e2e/site.h"

namespace mt::test {
namespace {

// A running server and its operator.
struct Operator {
    Site site{};
    Server server = site.serve();
    http::Fields who{{"Authorization", "Bearer " + site.operator_token()}, {"Content-Type", "application/json"}};

    http::Response send(std::string_view method, std::string_view target, std::string_view body = {}) {
        return server.send(method, target, who, body);
    }
    Json get(std::string_view target) { return parse_json(send("GET", target).body); }
    // Registers acme; its key.
    std::string add(std::string_view settings = R"({"id":"acme"})") {
        const http::Response reply = send("POST", "/admin/tenants", settings);
        CHECK_MESSAGE(reply.status == 201, reply.body);
        return parse_json(reply.body)["api_key"];
    }
};

// Every file below `folder` that holds `text`.
Words files_with(const std::filesystem::path& folder, const std::string& text) {
    Words found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file() && read_text(entry.path()).find(text) != std::string::npos) {
            found.push_back(entry.path().filename().string());
        }
    }
    return found;
}

TEST_CASE("POST registers a tenant whose key opens at once") {
    Operator op;
    const http::Response reply =
        op.send("POST", "/admin/tenants", R"({"id":"acme","name":"Acme Inc","plan":"professional","rate_limit":42})");
    CHECK(reply.status == 201);
    CHECK(field(reply, "Location") == "/admin/tenants/acme");
    Json made = parse_json(reply.body);
    CHECK(made["id"] == "acme");
    CHECK(made["rate_limit"] == 42);
    CHECK(made["plan"] == "professional");
    const http::Response first = op.server.get("/acme?q=Hello", bearer(made["api_key"]));
    CHECK(first.status == 200);
    CHECK(first.body.starts_with("[Acme Inc] Received: Hello\n"));
    CHECK(field(first, "RateLimit-Policy") == "\"requests\";q=42;w=60");
    CHECK(op.site.json({"tenant", "config", "acme"})["rate_limit"] == 42);
}

TEST_CASE("a key is told once and never written down") {
    Operator op;
    const std::string key = op.add();
    const std::string secret = key.substr(key.rfind('_') + 1);
    CHECK(secret.size() == 64);
    CHECK(op.server.get("/acme?q=Hello", bearer(key)).status == 200);
    CHECK(op.send("GET", "/admin/tenants/acme").body.find(secret) == std::string::npos);
    CHECK(op.send("GET", "/admin/tenants/acme/keys").body.find(secret) == std::string::npos);
    CHECK(op.server.terminate().exit == 0);
    CHECK(op.server.process().err().find(secret) == std::string::npos);
    CHECK(files_with(op.site.path(), secret).empty());
    CHECK_FALSE(files_with(op.site.path(), key_id(key)).empty());
}

TEST_CASE("a tenant that exists is 409") {
    Operator op;
    const std::string key = op.add();
    CHECK(op.send("POST", "/admin/tenants", R"({"id":"acme","rate_limit":5})").status == 409);
    CHECK(op.get("/admin/tenants/acme")["rate_limit"] == 10);
    CHECK(op.server.get("/acme?q=Hello", bearer(key)).status == 200);
}

TEST_CASE("a faulty registration is 400 and changes nothing") {
    Operator op;
    for (const char* body :
         {R"({})", R"({"id":7})", R"({"id":".."})", R"({"id":"a/b"})", R"({"id":"Acme"})", R"({"id":"stats"})",
          R"({"id":"acme","rate_limit":0})", R"({"id":"acme","rate_limit":"many"})",
          R"({"id":"acme","rate_limit":1.5})", R"({"id":"acme","plan":"golden"})",
          R"({"id":"acme","storage_type":"tape"})", R"({"id":"acme","features":"x"})", R"({"id":"acme","rate_limt":5})",
          R"({"id":"acme)", R"([])", R"("acme")", ""}) {
        const http::Response reply = op.send("POST", "/admin/tenants", body);
        CHECK_MESSAGE(reply.status == 400, body, " -> ", reply.status);
        CHECK(reply.content_type == "application/problem+json");
    }
    CHECK(op.server.send("POST", "/admin/tenants", bearer(op.site.operator_token()), R"({"id":"acme"})").status == 415);
    CHECK(op.get("/admin/tenants")["tenants"].size() == 3);
    CHECK(op.send("GET", "/admin/tenants/acme").status == 404);
}

TEST_CASE("PATCH merges, null takes back, status suspends") {
    Operator op;
    const std::string key = op.add(R"({"id":"acme","plan":"professional","rate_limit":42,"name":"Acme"})");
    const auto policy = [&] { return field(op.server.get("/acme?q=Hello", bearer(key)), "RateLimit-Policy"); };
    http::Response reply = op.send("PATCH", "/admin/tenants/acme", R"({"rate_limit":43})");
    CHECK(reply.status == 200);
    CHECK(parse_json(reply.body)["rate_limit"] == 43);
    CHECK(parse_json(reply.body)["name"] == "Acme");
    CHECK(policy() == "\"requests\";q=43;w=60");
    reply = op.send("PATCH", "/admin/tenants/acme", R"({"rate_limit":null})");
    CHECK(parse_json(reply.body)["rate_limit"] == 100);
    CHECK(policy() == "\"requests\";q=100;w=60");
    CHECK(op.send("PATCH", "/admin/tenants/acme", R"({"status":"suspended"})").status == 200);
    CHECK(op.server.get("/acme?q=Hello", bearer(key)).status == 401);
    CHECK(op.send("PATCH", "/admin/tenants/acme", R"({"status":"active"})").status == 200);
    CHECK(op.server.get("/acme?q=Hello", bearer(key)).status == 200);
}

TEST_CASE("a faulty PATCH is 400, names the nearest field and changes nothing") {
    Operator op;
    op.add();
    Json before = op.get("/admin/tenants/acme");
    const http::Response typo = op.send("PATCH", "/admin/tenants/acme", R"({"name":"New","rate_limt":5})");
    CHECK(typo.status == 400);
    CHECK(parse_json(typo.body)["detail"].get<std::string>().find("'rate_limit'") != std::string::npos);
    for (const char* body : {R"({"rate_limit":-1})", R"({"rate_limit":"5x"})", R"({"status":"gone"})", R"({"id":"b"})",
                             R"({"name":"New","plan":"golden"})", R"({"reserved_concurrency":5})"}) {
        CHECK_MESSAGE(op.send("PATCH", "/admin/tenants/acme", body).status == 400, body);
    }
    CHECK(op.get("/admin/tenants/acme") == before);
    CHECK(op.send("PATCH", "/admin/tenants/nobody", R"({"name":"x"})").status == 404);
}

TEST_CASE("DELETE removes") {
    Operator op;
    const std::string key = op.add();
    CHECK(op.server.get("/acme?q=Hello", bearer(key)).status == 200);
    const int removed = op.send("DELETE", "/admin/tenants/acme").status;
    CHECK((removed == 204 || removed == 202));
    CHECK(op.server.get("/acme?q=Hello", bearer(key)).status == 401);
    CHECK(time_until([&] { return op.send("GET", "/admin/tenants/acme").status == 404; }, std::chrono::seconds{5}));
    CHECK(op.send("DELETE", "/admin/tenants/acme").status == 404);
    CHECK(op.send("DELETE", "/admin/tenants/nobody").status == 404);
}

TEST_CASE("keys are made, listed and revoked") {
    Operator op;
    const std::string first = op.add();
    const http::Response reply = op.send("POST", "/admin/tenants/acme/keys", R"({"name":"laptop","expires":"90d"})");
    CHECK(reply.status == 201);
    Json made = parse_json(reply.body);
    const std::string second = made["api_key"];
    CHECK(op.server.get("/acme?q=Hello", bearer(second)).status == 200);
    Json keys = op.get("/admin/tenants/acme/keys")["keys"];
    CHECK(keys.size() == 2);
    for (const Json& key : keys) {
        CHECK_FALSE(key.contains("api_key"));
    }
    const std::string target = "/admin/tenants/acme/keys/" + made["key_id"].get<std::string>();
    CHECK(op.send("DELETE", "/admin/tenants/tenant-pro/keys/" + made["key_id"].get<std::string>()).status == 404);
    CHECK(op.send("DELETE", target).status == 204);
    CHECK(op.server.get("/acme?q=Hello", bearer(second)).status == 401);
    CHECK(op.server.get("/acme?q=Hello", bearer(first)).status == 200);
    CHECK(op.send("POST", "/admin/tenants/acme/keys", R"({"expires":"soon"})").status == 400);
    CHECK(op.send("POST", "/admin/tenants/acme/keys", R"({"nam":"x"})").status == 400);
    CHECK(op.send("POST", "/admin/tenants/nobody/keys").status == 404);
    CHECK(op.send("GET", "/admin/tenants/nobody/keys").status == 404);
}

TEST_CASE("without an operator's key nothing is told and nothing done") {
    Operator op;
    const std::string key = op.add();
    for (const http::Fields& who : {http::Fields{}, bearer("wrong"), bearer(key), bearer("")}) {
        for (const char* target : {"/admin/tenants", "/admin/tenants/acme", "/admin/tenants/acme/keys"}) {
            CHECK(op.server.get(target, who).status == 401);
        }
        CHECK(op.server.send("POST", "/admin/tenants", who, R"({"id":"evil"})").status == 401);
        CHECK(op.server.send("PATCH", "/admin/tenants/acme", who, R"({"rate_limit":5})").status == 401);
        CHECK(op.server.send("DELETE", "/admin/tenants/acme", who).status == 401);
        CHECK(op.server.send("DELETE", "/admin/tenants/acme/keys/" + key_id(key), who).status == 401);
    }
    CHECK(op.get("/admin/tenants")["tenants"].size() == 4);
    CHECK(op.server.get("/acme?q=Hello", bearer(key)).status == 200);
}

TEST_CASE("a read-only operator looks and changes nothing") {
    Operator op;
    const std::string key = op.add();
    const std::string reader = op.site.create_key({"--operator", "watcher", "--read-only"});
    const auto looks = [&] { return op.server.get("/admin/tenants/acme", bearer(reader)).status == 200; };
    CHECK(time_until(looks, std::chrono::seconds{5}));
    const http::Fields who{{"Authorization", "Bearer " + reader}, {"Content-Type", "application/json"}};
    CHECK(op.server.send("POST", "/admin/tenants", who, R"({"id":"evil"})").status == 403);
    CHECK(op.server.send("PATCH", "/admin/tenants/acme", who, R"({"rate_limit":5})").status == 403);
    CHECK(op.server.send("DELETE", "/admin/tenants/acme", who).status == 403);
    CHECK(op.server.send("POST", "/admin/tenants/acme/keys", who, "{}").status == 403);
    CHECK(op.server.send("DELETE", "/admin/tenants/acme/keys/" + key_id(key), who).status == 403);
    CHECK(op.get("/admin/tenants")["tenants"].size() == 4);
    CHECK(op.server.get("/acme?q=Hello", bearer(key)).status == 200);
    CHECK(op.server.get("/stats", bearer(reader)).status == 200);
}

TEST_CASE("the environment's operator token is the one that counts, and the folder is private") {
    Site site;
    site.launch().environment["MTAGENT_OPERATOR_TOKEN"] = "a-token-of-the-environment-0123456789";
    Server server = site.serve();
    CHECK(server.get("/admin/tenants", bearer("a-token-of-the-environment-0123456789")).status == 200);
    using std::filesystem::perms;
    const auto others = [&](const std::filesystem::path& path) {
        return std::filesystem::status(path).permissions() & (perms::group_all | perms::others_all);
    };
    CHECK(others(site.path("data")) == perms::none);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(site.path("data"))) {
        CHECK_MESSAGE(others(entry.path()) == perms::none, entry.path().string());
    }
}

TEST_CASE("lists go page by page") {
    Operator op;
    Json first = op.get("/admin/tenants?limit=2");
    CHECK(first["tenants"].size() == 2);
    Json second = op.get("/admin/tenants?limit=2&cursor=" + first["next_cursor"].get<std::string>());
    CHECK(second["tenants"].size() == 1);
    CHECK(second["next_cursor"].is_null());
    CHECK(op.send("GET", "/admin/tenants?limit=0").status == 400);
    CHECK(op.send("PUT", "/admin/tenants").status == 405);
}

}  // namespace
}  // namespace mt::test
