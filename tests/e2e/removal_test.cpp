// A tenant removed and added again under the same id is another tenant: nothing of the old life shows.

#include <csignal>

#include "e2e/site.h"

namespace mt::test {
namespace {

constexpr std::chrono::seconds k_patience{5};

bool knows_colour(Server& server, const std::string& key) {
    return server.get("/acme?q=recall+colour", bearer(key)).body.find("turquoise") != std::string::npos;
}

// Leaves something of everything a tenant can have: a conversation, a memory, a cached answer, numbers, a spent limit.
void live_a_life(Server& server, const std::string& key) {
    const http::Fields who = bearer(key);
    REQUIRE(time_until([&] { return server.get("/acme/sessions", who).status == 200; }, k_patience));
    CHECK(server.get("/acme?q=remember+colour+%3D+turquoise", who).status == 200);
    CHECK(server.get("/acme?q=my+secret+talk&session=s1", who).status == 200);
    CHECK(knows_colour(server, key));
    CHECK(parse_json(server.get("/acme/sessions", who).body)["sessions"].size() == 1);
    while (server.get("/acme?q=Hello", who).status == 200) {
    }
    CHECK(server.get("/acme?q=Hello", who).status == 429);
}

// Nothing of live_a_life() is left.
void check_new_life(Server& server, const std::string& key, const std::string& old_key) {
    const http::Fields who = bearer(key);
    REQUIRE(time_until([&] { return server.get("/acme/sessions", who).status == 200; }, k_patience));
    Json stats = parse_json(server.get("/acme/stats", who).body);
    for (const char* name : {"requests", "allowed", "denied", "errors", "cache_hits", "cache_misses", "tokens_in",
                             "tokens_out", "storage_bytes", "cache_entries"}) {
        CHECK_MESSAGE(stats[name] == 0, name);
    }
    CHECK(parse_json(server.get("/acme/sessions", who).body)["sessions"].empty());
    CHECK(server.get("/acme/sessions/s1", who).status == 404);
    CHECK_FALSE(knows_colour(server, key));
    const http::Response reply = server.get("/acme?q=Hello", who);
    CHECK(remaining(reply) == 8);
    CHECK(field(reply, "X-Cache") == "MISS");
    CHECK(server.get("/acme?q=Hello", bearer(old_key)).status == 401);
}

void remove_acme(const Site& site) {
    site.out({"tenant", "remove", "acme", "--confirm", "acme"});
    for (const char* name : {"acme.db", "acme.db-wal", "acme.db-shm"}) {
        CHECK_FALSE_MESSAGE(std::filesystem::exists(site.path("data") / "tenants" / name), name);
    }
}

const std::vector<std::string> k_kinds{"memory", "sqlite"};

TEST_CASE("removed and added again while serving") {
    for (const std::string& kind : k_kinds) {
        CAPTURE(kind);
        const Site site;
        Server server = site.serve();
        const std::string old_key = site.add("acme", {"--storage-type", kind});
        live_a_life(server, old_key);
        remove_acme(site);
        check_new_life(server, site.add("acme", {"--storage-type", kind}), old_key);
    }
}

TEST_CASE("removed and added again with no server") {
    for (const std::string& kind : k_kinds) {
        CAPTURE(kind);
        const Site site;
        const std::string old_key = site.add("acme", {"--storage-type", kind});
        {
            Server server = site.serve();
            live_a_life(server, old_key);
            CHECK(server.terminate().exit == 0);
        }
        remove_acme(site);
        const std::string key = site.add("acme", {"--storage-type", kind});
        CHECK(site.json({"stats", "acme"})["acme"]["requests"] == 0);
        Server server = site.serve();
        check_new_life(server, key, old_key);
    }
}

TEST_CASE("removed with no server after kill -9, added with one") {
    const Site site;
    const std::string old_key = site.add("acme", {"--storage-type", "sqlite"});
    {
        Server server = site.serve();
        live_a_life(server, old_key);
        server.kill();
    }
    remove_acme(site);
    Server server = site.serve();
    check_new_life(server, site.add("acme", {"--storage-type", "sqlite"}), old_key);
}

TEST_CASE("removed and added again by the operator's API") {
    const Site site;
    Server server = site.serve();
    const http::Fields who{{"Authorization", "Bearer " + site.operator_token()}, {"Content-Type", "application/json"}};
    const auto add = [&] {
        const std::string wanted = R"({"id":"acme","storage_type":"sqlite"})";
        return parse_json(server.send("POST", "/admin/tenants", who, wanted).body)["api_key"].get<std::string>();
    };
    const std::string old_key = add();
    live_a_life(server, old_key);
    const int removed = server.send("DELETE", "/admin/tenants/acme", who).status;
    CHECK((removed == 204 || removed == 202));
    CHECK(time_until([&] { return server.get("/admin/tenants/acme", who).status == 404; }, k_patience));
    check_new_life(server, add(), old_key);
}

TEST_CASE("serve does not bring back a removed tenant of the file; apply does") {
    const Site site;
    {
        Server server = site.serve();
        site.out({"tenant", "remove", "tenant-pro", "--confirm", "tenant-pro"});
        CHECK(server.get("/tenant-pro?q=Hello").status == 401);
    }
    Server server = site.serve();
    CHECK(server.get("/tenant-pro?q=Hello").status == 401);
    CHECK(server.get("/tenant-basic?q=Hello").status == 200);
    site.out({"tenant", "apply"});
    CHECK(time_until([&] { return server.get("/tenant-pro?q=Hello").status == 200; }, k_patience));
}

TEST_CASE("an id whose removal is not finished is busy, and free afterwards") {
    const Site site;
    site.add("acme");
    Server server = site.serve();
    server.process().signal(SIGSTOP);  // a server that is slow to let go
    Process removal = site.start({"tenant", "remove", "acme", "--confirm", "acme"});
    const auto is_marked = [&] {
        Json tenants = site.json({"tenant", "list"});
        return std::any_of(tenants.begin(), tenants.end(),
                           [](const Json& t) { return t.at("id") == "acme" && t.at("status") == "removing"; });
    };
    CHECK(time_until(is_marked, k_patience));
    const Outcome early = site.run({"tenant", "add", "acme"});
    CHECK(early.exit == 75);
    CHECK(early.err.find("acme") != std::string::npos);
    server.process().signal(SIGCONT);
    CHECK(removal.wait().exit == 0);
    CHECK(site.run({"tenant", "add", "acme"}).exit == 0);
}

TEST_CASE("removing needs the id twice") {
    const Site site;
    const std::string key = site.add("acme");
    CHECK(site.run({"tenant", "remove", "acme"}).exit == 64);
    CHECK(site.run({"tenant", "remove", "acme", "--confirm", "other"}).exit == 64);
    CHECK(site.run({"tenant", "remove", "nobody", "--confirm", "nobody"}).exit == 3);
    CHECK(site.json({"tenant", "config", "acme"})["status"] == "active");
}

}  // namespace
}  // namespace mt::test
