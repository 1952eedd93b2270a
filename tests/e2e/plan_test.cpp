// What a plan opens and bounds: features, cache and storage.

#include "e2e/site.h"

namespace mt::test {
namespace {

TEST_CASE("a tool of a feature that the plan lacks is 403, names it and costs nothing") {
    const Site site;
    Server server = site.serve();
    CHECK(remaining(server.get("/tenant-basic?q=Hello")) == 9);
    const http::Response refused = server.get("/tenant-basic?q=analyze+1,2,3");
    CHECK(refused.status == 403);
    CHECK(refused.body.find("advanced-analytics") != std::string::npos);
    CHECK(remaining(server.get("/tenant-basic?q=Hello")) == 8);
    Json basic = parse_json(server.get("/stats").body)["tenant-basic"];
    CHECK(basic["allowed"] == 2);
    CHECK(basic["denied"] == 1);
    CHECK(basic["errors"] == 0);

    const http::Response answered = server.get("/tenant-pro?q=analyze+1,2,3");
    CHECK(answered.status == 200);
    CHECK_MESSAGE(answered.body.find("mean 2") != std::string::npos, answered.body);
}

TEST_CASE("two tools in a row answer one question") {
    const Site site;
    Server server = site.serve();
    const http::Response reply = server.get("/tenant-pro?q=analyze+3,+5,+8+and+multiply+the+mean+by+12");
    CHECK(reply.status == 200);
    CHECK_MESSAGE(reply.body.find("64") != std::string::npos, reply.body);
}

TEST_CASE("without basic-chat there is no asking") {
    const Site site;
    const std::string key = site.add("mute", {"--features", "advanced-analytics"});
    Server server = site.serve();
    const http::Response refused = server.get("/mute?q=Hello", bearer(key));
    CHECK(refused.status == 403);
    CHECK(refused.body.find("basic-chat") != std::string::npos);
}

std::string cache_of(Server& server, const std::string& target, const http::Fields& fields = {}) {
    const http::Response reply = server.get(target, fields);
    CHECK(reply.status == 200);
    return field(reply, "X-Cache");
}

TEST_CASE("the same question again is a hit with the same answer") {
    const Site site;
    Server server = site.serve();
    const http::Response first = server.get("/tenant-pro?q=2%2B3");
    const http::Response again = server.get("/tenant-pro?q=2%2B3");
    CHECK(field(first, "X-Cache") == "MISS");
    CHECK(field(again, "X-Cache") == "HIT");
    CHECK(again.body == first.body);
    CHECK(remaining(again) == 98);  // a hit is charged like any call
    CHECK(cache_of(server, "/tenant-pro?q=2%2B4") == "MISS");
    Json stats = parse_json(server.get("/stats").body)["tenant-pro"];
    CHECK(stats["allowed"] == 3);
    CHECK(stats["cache_hits"] == 1);
    CHECK(stats["cache_misses"] == 2);
    CHECK(stats["cache_entries"] == 2);
}

TEST_CASE("no answer of one tenant is a hit for another") {
    const Site site;
    const http::Fields one = bearer(site.add("one", {"--name", "Same", "--plan", "professional"}));
    const http::Fields two = bearer(site.add("two", {"--name", "Same", "--plan", "professional"}));
    Server server = site.serve();
    CHECK(cache_of(server, "/one?q=Hello", one) == "MISS");
    CHECK(cache_of(server, "/two?q=Hello", two) == "MISS");
    CHECK(cache_of(server, "/one?q=Hello", one) == "HIT");
    CHECK(cache_of(server, "/two?q=Hello", two) == "HIT");
}

TEST_CASE("what depends on more than the question is never a hit") {
    const Site site;
    Server server = site.serve();
    for (int i = 0; i < 3; ++i) {
        CHECK(cache_of(server, "/tenant-enterprise?q=Hello&session=s") == "MISS");
        CHECK(cache_of(server, "/tenant-enterprise?q=what+time+is+it") == "MISS");
        CHECK(cache_of(server, "/tenant-enterprise?q=recall+colour") == "MISS");
        CHECK(cache_of(server, "/tenant-enterprise?q=remember+colour+%3D+red") == "MISS");
    }
    CHECK(cache_of(server, "/tenant-enterprise?q=Hello") == "MISS");
    CHECK(cache_of(server, "/tenant-enterprise?q=Hello&session=s") == "MISS");
    CHECK(cache_of(server, "/tenant-enterprise?q=Hello") == "HIT");
    CHECK(cache_of(server, "/tenant-enterprise?q=Hello", {{"Cache-Control", "no-cache"}}) == "MISS");
}

TEST_CASE("a changed setting empties the cache") {
    const Site site;
    Server server = site.serve();
    CHECK(cache_of(server, "/tenant-pro?q=Hello") == "MISS");
    CHECK(cache_of(server, "/tenant-pro?q=Hello") == "HIT");
    site.out({"tenant", "config", "tenant-pro", "rate_limit=200"});
    const auto is_changed = [&] {
        return field(server.get("/tenant-pro?q=other"), "RateLimit-Policy") == "\"requests\";q=200;w=60";
    };
    CHECK(time_until(is_changed, std::chrono::seconds{5}));
    CHECK(cache_of(server, "/tenant-pro?q=Hello") == "MISS");
    CHECK(cache_of(server, "/tenant-pro?q=Hello") == "HIT");
}

TEST_CASE("a cache has as many entries as the tenant is given") {
    const Site site;
    const http::Fields none = bearer(site.add("none", {"--cache-size", "0"}));
    const http::Fields two = bearer(site.add("two", {"--cache-size", "2"}));
    Server server = site.serve();
    CHECK(cache_of(server, "/none?q=Hello", none) == "MISS");
    CHECK(cache_of(server, "/none?q=Hello", none) == "MISS");
    for (const char* question : {"a", "b", "c"}) {
        CHECK(cache_of(server, "/two?q=" + std::string(question), two) == "MISS");
    }
    CHECK(cache_of(server, "/two?q=c", two) == "HIT");
    CHECK(cache_of(server, "/two?q=a", two) == "MISS");
    CHECK(parse_json(server.get("/two/stats", two).body)["cache_entries"] == 2);
}

// Remembers ever more until the store is full; how much went in.
int fill(Server& server, const http::Fields& who) {
    for (int i = 0; i < 200; ++i) {
        const std::string question = "remember k" + std::to_string(i) + " = " + std::string(2000, 'x');
        const http::Response reply = server.send("POST", "/acme", who, question);
        if (reply.status != 200) {
            CHECK(reply.status == 507);
            CHECK(reply.content_type == "application/problem+json");
            return i;
        }
    }
    return -1;
}

TEST_CASE("a full store refuses to keep more, while reading and erasing go on") {
    for (const std::string kind : {"memory", "sqlite"}) {
        CAPTURE(kind);
        const Site site;
        const std::string key =
            site.add("acme", {"--storage-type", kind, "--max-storage", "64KB", "--rate-limit", "10000"});
        http::Fields who = bearer(key);
        who.emplace_back("Content-Type", "text/plain");
        Server server = site.serve();
        CHECK(server.get("/acme?q=Hello&session=talk", who).status == 200);
        CHECK(server.get("/acme?q=remember+colour+%3D+turquoise", who).status == 200);
        const int kept = fill(server, who);
        CHECK_MESSAGE((kept > 5 && kept < 64), kept);

        CHECK(server.get("/acme?q=Hello", who).status == 200);
        CHECK(server.get("/acme?q=recall+colour", who).body.find("turquoise") != std::string::npos);
        CHECK(server.get("/acme/sessions", who).status == 200);
        CHECK(server.get("/acme/sessions/talk", who).status == 200);
        CHECK(server.send("DELETE", "/acme/sessions/talk", who).status == 204);
        Json stats = parse_json(server.get("/acme/stats", who).body);
        CHECK(stats["errors"] == 1);
        CHECK(stats["storage_bytes"] <= 64000);
        CHECK(stats["storage_bytes"] > 20000);
        CHECK(stats["allowed"] == kept + 5);  // a call that failed was let in
        // More room takes more.
        site.out({"tenant", "config", "acme", "max_storage=1MB"});
        const auto has_room = [&] {
            return server.send("POST", "/acme", who, "remember late = " + std::string(2000, 'x')).status == 200;
        };
        CHECK(time_until(has_room, std::chrono::seconds{5}));
    }
}

}  // namespace
}  // namespace mt::test
