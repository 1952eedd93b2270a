// Who did what, when: `mtagent tenant history` after every action of the command line and of /admin.

#include <array>
#include <cstdio>
#include <map>

#include "e2e/ledger_rows.h"
#include "e2e/site.h"

namespace mt::test {
namespace {

// One event: its action, tenant, subject, before and after.
struct Event {
    std::string action;
    std::string tenant;
    std::string subject{};
    std::string before{};
    std::string after{};
};

// Compares what happened since `known` events, oldest first; a '*' stands for any text.
void check_events(const Site& site, std::size_t known, const std::string& who, const std::vector<Event>& expected) {
    const Json history = site.json({"tenant", "history"});
    REQUIRE(history.size() == known + expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const Json& event = history[expected.size() - 1 - i];
        const Event& wanted = expected[i];
        CAPTURE(event.dump());
        CHECK(event.at("who") == who);
        CHECK(event.at("at").get<std::string>().size() == 24);
        CHECK(event.at("action") == wanted.action);
        CHECK(event.at("tenant") == wanted.tenant);
        const auto same = [](const Json& text, const std::string& pattern) {
            return pattern == "*" ? !text.get<std::string>().empty() : text == pattern;
        };
        CHECK(same(event.at("subject"), wanted.subject));
        CHECK(same(event.at("before"), wanted.before));
        CHECK(same(event.at("after"), wanted.after));
    }
}

std::string user() {
    std::array<char, 256> name{};
    FILE* pipe = popen("id -un", "r");
    const std::size_t got = std::fread(name.data(), 1, name.size() - 1, pipe);
    pclose(pipe);
    return std::string(name.data(), got > 0 ? got - 1 : 0);
}

TEST_CASE("every change by the command line is in the history: who, what, before and after") {
    const Site site("");
    const std::string key = key_id(site.add("acme", {"--plan", "enterprise", "--rate-limit", "50"}));
    const std::vector<Event> added{{"tenant.add", "acme", "", "", "enterprise, rate_limit = 50"},
                                   {"key.create", "acme", key, "", "first key"}};
    check_events(site, 0, user(), added);
    site.out({"tenant", "config", "acme", "rate_limit=60", "name=Acme Inc"});
    site.out({"tenant", "config", "acme", "--unset", "rate_limit"});
    site.out({"tenant", "config", "acme"});
    site.out({"tenant", "suspend", "acme"});
    site.out({"tenant", "suspend", "acme"});
    site.out({"tenant", "resume", "acme"});
    site.out({"tenant", "model", "add", "acme", "gpt", "--base-url", "https://llm.example.com/v1", "--model", "m"});
    site.out({"tenant", "model", "remove", "acme", "gpt"});
    const std::string laptop = key_id(site.create_key({"acme", "--name", "laptop", "--expires", "90d"}));
    const Json fresh = site.json({"key", "rotate", laptop});
    const auto fresh_id = fresh.at("key_id").get<std::string>();
    site.out({"key", "revoke", fresh_id});
    check_events(site, 2, user(),
                 {{"tenant.config", "acme", "name", "", "Acme Inc"},
                  {"tenant.config", "acme", "rate_limit", "50", "60"},
                  {"tenant.config", "acme", "rate_limit", "60", ""},
                  {"tenant.suspend", "acme", "status", "active", "suspended"},
                  {"tenant.resume", "acme", "status", "suspended", "active"},
                  {"model.add", "acme", "gpt", "", "*"},
                  {"model.remove", "acme", "gpt", "*", ""},
                  {"key.create", "acme", laptop, "", "*"},
                  {"key.rotate", "acme", laptop, laptop, fresh_id},
                  {"key.revoke", "acme", fresh_id, "*", ""}});
    const std::string root = key_id(site.create_key({"--operator", "ci", "--read-only"}));
    const Json second = site.json({"key", "rotate", root});
    const auto second_id = second.at("key_id").get<std::string>();
    site.out({"key", "revoke", second_id});
    check_events(site, 12, user(),
                 {{"key.create", "", root, "", "ci, read-only"},
                  {"key.rotate", "", root, root, second_id},
                  {"key.revoke", "", second_id, "ci, read-only", ""}});
    CHECK(site.json({"tenant", "history", "acme"}).size() == 12);
    const std::vector<std::string> lines = lines_of(site.out({"tenant", "history"}));
    REQUIRE(lines.size() == 16);
    CHECK(words_of(lines[0]) == Words{"TIME", "WHO", "ACTION", "TENANT", "WHAT", "CHANGE"});
    CHECK(words_of(lines[1])[3] == "-");
    CHECK(words_of(lines[4])[3] == "acme");
    CHECK(words_of(lines_of(site.out({"tenant", "history", "acme"}))[0]) ==
          Words{"TIME", "WHO", "ACTION", "WHAT", "CHANGE"});

    site.write("tenants.toml", "[[tenants]]\nid = \"beta\"\n[[tenants]]\nid = \"gamma\"\nplan = \"professional\"\n");
    site.out({"tenant", "apply"});
    site.write("tenants.toml", "[[tenants]]\nid = \"beta\"\nrate_limit = 7\n");
    site.out({"tenant", "apply"});
    site.out({"tenant", "apply", "--prune", "--confirm"});
    // Of a removed tenant's settings the history keeps nothing, but who did what it does.
    check_events(site, 15, user(),
                 {{"tenant.add", "beta", "", "", "basic"},
                  {"tenant.add", "gamma", "", "", ""},
                  {"tenant.config", "beta", "rate_limit", "", "7"},
                  {"tenant.remove", "acme"},
                  {"tenant.remove", "gamma"}});
    site.out({"tenant", "remove", "beta", "--confirm", "beta"});
    const Json history = site.json({"tenant", "history", "beta"});
    REQUIRE(history.size() == 3);
    CHECK(history[0].at("action") == "tenant.remove");
    CHECK(site.run({"tenant", "history", "nobody"}).exit == 3);
    CHECK(site.run({"tenant", "history", ""}).exit == 64);
}

TEST_CASE("every change by /admin is in the history with its operator") {
    const Site site("");
    const std::string key = site.create_key({"--operator", "ann"});
    Server server = site.serve();
    std::size_t known = 1;
    for (const auto& [secret, who] :
         std::map<std::string, std::string>{{key, "ann"}, {site.operator_token(), "operator token"}}) {
        const auto change = [&, proof = bearer(secret)](const char* method, const std::string& path,
                                                        const std::string& body, int status) {
            http::Fields fields = proof;
            fields.emplace_back("Content-Type", "application/json");
            const http::Response reply = server.send(method, "/admin/tenants" + path, fields, body);
            CHECK_MESSAGE(reply.status == status, path, " ", reply.body);
            return reply.body.empty() ? Json() : parse_json(reply.body);
        };
        const Json made = change("POST", "", R"({"id":"acme","plan":"enterprise"})", 201);
        change("PATCH", "/acme", R"({"rate_limit":9})", 200);
        change("PATCH", "/acme", R"({"status":"suspended"})", 200);
        change("PATCH", "/acme", R"({"status":"active","rate_limit":null})", 200);
        change("POST", "/acme/models", R"({"name":"gpt","base_url":"https://llm.example.com/v1","model":"m"})", 201);
        change("DELETE", "/acme/models/gpt", "", 204);
        const Json second = change("POST", "/acme/keys", R"({"name":"laptop"})", 201);
        const auto second_id = second.at("key_id").get<std::string>();
        change("DELETE", "/acme/keys/" + second_id, "", 204);
        check_events(site, known, who,
                     {{"tenant.add", "acme", "", "", "enterprise"},
                      {"key.create", "acme", made.at("key_id").get<std::string>(), "", "first key"},
                      {"tenant.config", "acme", "rate_limit", "", "9"},
                      {"tenant.suspend", "acme", "status", "active", "suspended"},
                      {"tenant.config", "acme", "rate_limit", "9", ""},
                      {"tenant.resume", "acme", "status", "suspended", "active"},
                      {"model.add", "acme", "gpt", "", "*"},
                      {"model.remove", "acme", "gpt", "*", ""},
                      {"key.create", "acme", second_id, "", "laptop"},
                      {"key.revoke", "acme", second_id, "laptop", ""}});
        change("DELETE", "/acme", "", 204);
        CHECK(site.json({"tenant", "history"})[0].at("action") == "tenant.remove");
        CHECK(site.json({"tenant", "history"})[0].at("who") == who);
        known += 11;
    }
}

}  // namespace
}  // namespace mt::test
