// --json of every command that reads.

#include "e2e/site.h"

namespace mt::test {
namespace {

// "2026-11-23T05:15:31.120Z"
bool is_time(const Json& json) {
    const auto text = json.is_string() ? json.get<std::string>() : std::string{};
    return text.size() == 24 && text[10] == 'T' && text.back() == 'Z';
}

TEST_CASE("tenant add tells the tenant and its key, once") {
    const Site site;
    Json made = site.json({"tenant", "add", "acme", "--plan", "enterprise", "--storage-type", "sqlite", "--max-storage",
                           "64MB", "--cache-ttl", "30s", "--features", "basic-chat"});
    CHECK(made["id"] == "acme");
    CHECK(made["max_storage"] == 64000000);
    CHECK(made["cache_ttl"] == "30s");
    CHECK(made["features"] == Json::array({"basic-chat"}));
    CHECK(made["rate_limit"] == 1000);
    CHECK(is_time(made["created_at"]));
    const std::string key = made["api_key"];
    CHECK(key.size() == 4 + 12 + 1 + 64);
    CHECK(key_id(key) == made["key_id"]);
    CHECK_FALSE(site.json({"tenant", "config", "acme"}).contains("api_key"));
}

TEST_CASE("tenant list, config and history") {
    const Site site;
    CHECK(site.run({"tenant", "list", "--json"}).exit == 3);  // no data folder yet
    site.add("beta");
    site.add("acme");
    Json list = site.json({"tenant", "list"});
    REQUIRE(list.size() == 2);
    CHECK(list[0]["id"] == "acme");
    CHECK(list[1]["status"] == "active");

    Json changed = site.json({"tenant", "config", "acme", "rate_limit=77", "name=Acme Inc"});
    CHECK(changed == site.json({"tenant", "config", "acme"}));
    CHECK(changed["rate_limit"] == 77);
    CHECK(changed["name"] == "Acme Inc");
    CHECK(site.json({"tenant", "config", "acme", "--unset", "rate_limit"})["rate_limit"] == 10);
    CHECK(site.json({"tenant", "suspend", "acme"})["status"] == "suspended");
    CHECK(site.json({"tenant", "resume", "acme"})["status"] == "active");

    Json history = site.json({"tenant", "history", "acme"});
    REQUIRE(history.size() >= 5);
    for (const Json& event : history) {
        CHECK(is_time(event.at("at")));
        CHECK_FALSE(event.at("who").get<std::string>().empty());
        CHECK_FALSE(event.at("action").get<std::string>().empty());
    }
    CHECK(history.dump().find("77") != std::string::npos);
    CHECK(site.json({"tenant", "remove", "acme", "--confirm", "acme"})["id"] == "acme");
}

TEST_CASE("key create, list, revoke and rotate") {
    const Site site;
    site.add("acme");
    Json made = site.json({"key", "create", "acme", "--name", "laptop", "--expires", "90d"});
    CHECK(made["name"] == "laptop");
    CHECK(is_time(made["expires_at"]));
    const std::string id = made["key_id"];
    const auto status = [&](const std::string& wanted) {
        std::string found;
        for (const Json& key : site.json({"key", "list", "acme"})) {
            CHECK_FALSE(key.contains("api_key"));
            found = key.at("key_id") == wanted ? key.at("status").get<std::string>() : found;
        }
        return found;
    };
    CHECK(status(id) == "active");
    Json rotated = site.json({"key", "rotate", id});
    CHECK(rotated["api_key"].is_string());
    CHECK(status(id) != "active");
    CHECK(status(rotated["key_id"]) == "active");
    CHECK(site.json({"key", "revoke", rotated["key_id"]})["status"] == "revoked");
    CHECK(status(rotated["key_id"]) == "revoked");
    Json op = site.json({"key", "create", "--operator", "ci", "--read-only"});
    CHECK(op["read_only"] == true);
    Json operators = site.json({"key", "list"});
    REQUIRE(operators.size() == 1);
    CHECK(operators[0]["name"] == "ci");
}

TEST_CASE("stats, check and ask") {
    const Site site;
    site.add("acme", {"--plan", "professional"});
    CHECK(site.json({"stats"})["acme"]["requests"] == 0);
    CHECK(site.json({"stats", "acme", "--since", "24h"}).size() == 1);
    Json check = site.json({"check"});
    CHECK(check["tenants"] == 1);
    CHECK(check["faults"].empty());
    CHECK(check["warnings"].is_array());
    Json answer = site.json({"ask", "acme", "analyze 1, 2, 3"});
    CHECK(answer["answer"].get<std::string>().find("mean 2") != std::string::npos);
    CHECK(answer["tools"] == Json::array({"analyze"}));
}

TEST_CASE("bench and ping") {
    const Site site;
    Server server = site.serve();
    Json ping = site.json({"ping"});
    CHECK(ping["ready"] == true);
    CHECK(ping["url"] == server.url());
    CHECK(ping["latency_ms"].is_number());

    Json bench =
        site.json({"bench", server.url("/tenant-enterprise?q=test"), "--connections", "2", "--duration", "300ms"});
    CHECK(bench["requests"] > 0);
    CHECK(bench["rate_per_s"] > 0.0);
    CHECK(bench["statuses"]["200"] > 0);
    CHECK(bench["latency_ms"]["p50"] <= bench["latency_ms"]["p90"]);
    CHECK(bench["latency_ms"]["p90"] <= bench["latency_ms"]["p99"]);
    CHECK(bench["latency_ms"]["p99"] <= bench["latency_ms"]["max"]);
}

TEST_CASE("a fault that check finds ends with 1 and is named") {
    const Site site;
    site.add("acme");
    site.write("data/tenants/acme.db", std::string(8192, 'x'));
    std::filesystem::remove(site.path("data/tenants/acme.db-wal"));
    const Outcome done = site.run({"check", "--json"});
    CHECK(done.exit == 1);
    Json report = parse_json(done.out);
    REQUIRE(report["faults"].size() == 1);
    CHECK(report["faults"][0].get<std::string>().find("acme") != std::string::npos);
    CHECK(parse_json(done.err)["error"]["message"].is_string());
}

}  // namespace
}  // namespace mt::test
