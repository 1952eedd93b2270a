// The request limit as a client sees it.

#include <thread>

#include "e2e/site.h"

namespace mt::test {
namespace {

http::Response ask_basic(Server& server) {
    return server.get("/tenant-basic?q=Hello");
}

// Spends the burst of tenant-basic; the first refusal.
http::Response spend(Server& server) {
    http::Response reply;
    for (int i = 0; i < 11; ++i) {
        reply = ask_basic(server);
    }
    return reply;
}

TEST_CASE("of 15 quick requests to tenant-basic 10 are answered and 5 refused") {
    const Site site;
    Server server = site.serve();
    for (int i = 0; i < 10; ++i) {
        const http::Response reply = ask_basic(server);
        CHECK(reply.status == 200);
        CHECK(remaining(reply) == 9 - i);
        CHECK(field(reply, "RateLimit-Policy") == "\"requests\";q=10;w=60");
    }
    for (int i = 0; i < 5; ++i) {
        const http::Response reply = ask_basic(server);
        CHECK(reply.status == 429);
        CHECK(remaining(reply) == 0);
        CHECK(field(reply, "RateLimit-Policy") == "\"requests\";q=10;w=60");
        const std::string wait = field(reply, "Retry-After");
        CHECK_MESSAGE((wait == "5" || wait == "6"), wait);
        Json problem = parse_json(reply.body);
        CHECK(problem["status"] == 429);
        CHECK_MESSAGE(reply.body.find("requests") != std::string::npos, "which limit? ", reply.body);
    }
    // Refusals cost nothing, and nobody else pays.
    CHECK(remaining(server.get("/tenant-pro?q=Hello")) == 99);
    CHECK(remaining(server.get("/tenant-enterprise?q=Hello")) == 999);
    Json stats = parse_json(server.get("/stats").body)["tenant-basic"];
    CHECK(stats["requests"] == 15);
    CHECK(stats["allowed"] == 10);
    CHECK(stats["denied"] == 5);
}

TEST_CASE("waiting exactly Retry-After succeeds") {
    const Site site;
    Server server = site.serve();
    const http::Response refused = spend(server);
    REQUIRE(refused.status == 429);
    const int seconds = std::stoi(field(refused, "Retry-After"));
    CHECK(seconds >= 1);
    CHECK(seconds <= 6);
    // The promise under test is about real time: nothing but its passing can keep it.
    std::this_thread::sleep_for(std::chrono::seconds{seconds});
    CHECK(ask_basic(server).status == 200);
    CHECK(ask_basic(server).status == 429);
}

TEST_CASE("what is no call to the agent costs nothing") {
    const Site site;
    Server server = site.serve();
    CHECK(remaining(ask_basic(server)) == 9);
    CHECK(server.get("/tenant-basic").status == 400);
    CHECK(server.get("/tenant-basic?q=").status == 400);
    CHECK(server.send("DELETE", "/tenant-basic").status == 405);
    CHECK(server.get("/tenant-basic?q=Hello", {{"X-API-Key", "wrong"}}).status == 401);
    CHECK(server.get("/tenant-basic/sessions").status == 200);
    CHECK(remaining(ask_basic(server)) == 8);
}

TEST_CASE("another burst shows in the policy") {
    const Site site;
    const std::string key = site.add("acme", {"--rate-limit", "60", "--burst", "5"});
    Server server = site.serve();
    const http::Response reply = server.get("/acme?q=Hello", bearer(key));
    CHECK(field(reply, "RateLimit-Policy") == "\"requests\";q=5;w=5");
    CHECK(remaining(reply) == 4);
    for (int i = 0; i < 4; ++i) {
        CHECK(server.get("/acme?q=Hello", bearer(key)).status == 200);
    }
    CHECK(server.get("/acme?q=Hello", bearer(key)).status == 429);
}

}  // namespace
}  // namespace mt::test
