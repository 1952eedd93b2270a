// What outlives the server: data, conversations, numbers and limiter state, after SIGTERM and after kill -9.

#include <csignal>

#include "e2e/site.h"

namespace mt::test {
namespace {

constexpr int k_calls = 40;

// One call a minute: whether the limit is still spent does not depend on how long the restart takes.
Words slow_limit() {
    return {"--rate-limit", "1"};
}

struct World {
    World() {
        talker = site.add("talker", {"--storage-type", "sqlite", "--rate-limit", "1000"});
        slow = site.add("slow", slow_limit());
    }
    Site site;
    std::string talker;
    std::string slow;
};

// Every reply taken here is one that the ledger must know for ever.
void work(Server& server, const World& world) {
    const http::Fields who = bearer(world.talker);
    CHECK(server.get("/talker?q=remember+colour+%3D+turquoise", who).status == 200);
    CHECK(server.get("/talker?q=6*7&session=sums", who).status == 200);
    for (int i = 2; i < k_calls; ++i) {
        CHECK(server.get("/talker?q=Hello" + std::to_string(i), who).status == 200);
    }
    CHECK(server.get("/slow?q=Hello", bearer(world.slow)).status == 200);
    CHECK(server.get("/slow?q=Hello", bearer(world.slow)).status == 429);
    CHECK(server.get("/slow?q=Hello").status == 401);
}

void check_all_is_there(Server& server, const World& world) {
    const http::Fields who = bearer(world.talker);
    Json stats = parse_json(server.get("/stats").body);
    CHECK(stats["talker"]["requests"] == k_calls);
    CHECK(stats["talker"]["allowed"] == k_calls);
    CHECK(stats["talker"]["avg_latency_ms"] > 0.0);
    CHECK(stats["slow"]["allowed"] == 1);
    CHECK(stats["slow"]["denied"] == 1);
    CHECK(stats["slow"]["unauthorized"] == 1);
    // The limiter remembers what was spent, and grants nothing anew.
    CHECK(server.get("/slow?q=Hello", bearer(world.slow)).status == 429);
    CHECK(server.get("/talker?q=recall+colour", who).body.find("turquoise") != std::string::npos);
    CHECK(parse_json(server.get("/talker/sessions/sums", who).body)["turns"] == 1);
    CHECK(server.get("/talker?q=multiply+it+by+2&session=sums", who).body.find("84") != std::string::npos);
}

TEST_CASE("SIGTERM ends with 0, and the next start has everything") {
    const World world;
    {
        Server server = world.site.serve();
        work(server, world);
        const Outcome end = server.terminate();
        CHECK(end.exit == 0);
    }
    CHECK(world.site.json({"stats"})["talker"]["requests"] == k_calls);
    Server server = world.site.serve();
    check_all_is_there(server, world);
}

TEST_CASE("SIGINT ends with 0") {
    const Site site;
    Server server = site.serve();
    server.process().signal(SIGINT);
    CHECK(server.process().wait().exit == 0);
}

TEST_CASE("kill -9 loses no reply that was given") {
    const World world;
    {
        Server server = world.site.serve();
        work(server, world);
        CHECK(server.kill().exit == -SIGKILL);
    }
    Server server = world.site.serve();
    check_all_is_there(server, world);
    CHECK(server.terminate().exit == 0);
    Json check = world.site.json({"check"});
    CHECK(check["faults"].empty());
}

// Each boot has an id of its own, by which the slot file knows that the boot clock began anew.
void pretend_reboot(const Site& site) {
    constexpr std::streamoff k_boot_id = 8 + 8 + 32;
    std::fstream slots(site.path("data/stats.slots"), std::ios::in | std::ios::out | std::ios::binary);
    slots.seekp(k_boot_id);
    slots.put('?');
    CHECK(slots.good());
}

TEST_CASE("a reboot grants nothing anew, however often") {
    const World world;
    {
        Server server = world.site.serve();
        work(server, world);
        CHECK(server.kill().exit < 0);
    }
    for (int i = 0; i < 5; ++i) {
        pretend_reboot(world.site);
        Server server = world.site.serve();
        CHECK(server.get("/slow?q=Hello", bearer(world.slow)).status == 429);
        CHECK(server.terminate().exit == 0);
    }
}

TEST_CASE("regression: an old slot file that is put back counts nothing twice") {
    const World world;
    const auto slots = world.site.path("data/stats.slots");
    {
        Server server = world.site.serve();
        work(server, world);
        CHECK(server.terminate().exit == 0);
    }
    std::filesystem::rename(slots, world.site.path("old.slots"));
    {
        Server server = world.site.serve();
        CHECK(server.get("/talker?q=again", bearer(world.talker)).status == 200);
        CHECK(server.terminate().exit == 0);
    }
    CHECK(world.site.json({"stats"})["talker"]["requests"] == k_calls + 1);
    std::filesystem::copy(world.site.path("old.slots"), slots, std::filesystem::copy_options::overwrite_existing);
    {
        Server server = world.site.serve();
        CHECK(server.get("/talker?q=and+again", bearer(world.talker)).status == 200);
        CHECK(parse_json(server.get("/stats").body)["talker"]["requests"] == k_calls + 2);
        CHECK(server.terminate().exit == 0);
    }
    CHECK(std::filesystem::exists(world.site.path("data/stats.slots.stale")));
    CHECK(world.site.json({"stats"})["talker"]["requests"] == k_calls + 2);
    CHECK(world.site.json({"check"})["faults"].empty());
}

TEST_CASE("kill -9 again and again: numbers only add up") {
    const World world;
    for (int round = 1; round <= 4; ++round) {
        Server server = world.site.serve();
        for (int i = 0; i < 10; ++i) {
            CHECK(server.get("/talker?q=Hello", bearer(world.talker)).status == 200);
        }
        CHECK(parse_json(server.get("/stats").body)["talker"]["requests"] == 10 * round);
        server.kill();
    }
    CHECK(world.site.json({"stats"})["talker"]["requests"] == 40);
    CHECK(world.site.json({"check"})["faults"].empty());
}

TEST_CASE("a tenant in memory keeps its numbers and limits, not its data") {
    const Site site;
    const std::string key = site.add("slow", slow_limit());
    {
        Server server = site.serve();
        CHECK(server.get("/slow?q=Hello&session=s1", bearer(key)).status == 200);
        CHECK(parse_json(server.get("/slow/sessions", bearer(key)).body)["sessions"].size() == 1);
        CHECK(server.terminate().exit == 0);
    }
    Server server = site.serve();
    CHECK(parse_json(server.get("/slow/sessions", bearer(key)).body)["sessions"].empty());
    CHECK(server.get("/slow?q=Hello", bearer(key)).status == 429);
    CHECK(parse_json(server.get("/slow/stats", bearer(key)).body)["allowed"] == 1);
}

TEST_CASE("settings and keys outlive the server") {
    const Site site;
    Server first = site.serve();
    const std::string key = site.add("acme", {"--name", "Acme Inc", "--plan", "professional"});
    site.out({"tenant", "config", "acme", "rate_limit=77"});
    first.kill();
    Server server = site.serve();
    const http::Response reply = server.get("/acme?q=Hello", bearer(key));
    CHECK(reply.body.starts_with("[Acme Inc] Received: Hello\n"));
    CHECK(field(reply, "RateLimit-Policy") == "\"requests\";q=77;w=60");
}

}  // namespace
}  // namespace mt::test
