// The one ledger and its views: /stats, /{tenant}/stats, /metrics and `mtagent stats`.

#include <array>
#include <csignal>

#include "e2e/site.h"

namespace mt::test {
namespace {

// Some of everything: allowed, a cache hit, denied by limit, denied by feature, invalid, unauthorized.
void make_traffic(Server& server) {
    for (int i = 0; i < 12; ++i) {
        server.get("/tenant-basic?q=Hello");
    }
    server.get("/tenant-pro?q=Hello");
    server.get("/tenant-pro?q=Hello");
    server.get("/tenant-pro");
    server.send("PUT", "/tenant-pro");
    server.get("/tenant-pro?q=Hello", {{"X-API-Key", "wrong"}});
    server.get("/tenant-nobody?q=Hello");
}

// The line "name{labels} value" whose labels have all of these texts; -1 when there is none.
double metric(const std::string& text, const std::string& name, const std::vector<std::string>& labels) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        bool fits = line.starts_with(name + "{");
        for (const std::string& label : labels) {
            fits = fits && line.find(label) != std::string::npos;
        }
        if (fits) {
            return std::stod(line.substr(line.rfind(' ')));
        }
    }
    return -1;
}

constexpr std::array k_demo{"tenant-basic", "tenant-pro", "tenant-enterprise"};
// What the ledger keeps; the others are gauges of a running process.
constexpr std::array k_kept{"requests",   "allowed",      "denied",    "avg_latency_ms", "errors",
                            "cache_hits", "cache_misses", "tokens_in", "tokens_out"};

void check_kept(const Json& now, const Json& before) {
    for (const char* tenant : k_demo) {
        for (const char* name : k_kept) {
            CHECK_MESSAGE(now.at(tenant).at(name) == before.at(tenant).at(name), tenant, " ", name);
        }
    }
}

TEST_CASE("/stats has the reference's fields for every tenant, and requests = allowed + denied") {
    const Site site;
    Server server = site.serve();
    make_traffic(server);
    const http::Response reply = server.get("/stats");
    CHECK(reply.status == 200);
    CHECK(reply.content_type.starts_with("application/json"));
    Json stats = parse_json(reply.body);
    CHECK(stats.size() == 3);
    for (const char* tenant : k_demo) {
        Json& numbers = stats[tenant];
        for (const char* name : k_kept) {
            CHECK_MESSAGE(numbers[name].is_number(), tenant, " ", name);
        }
        CHECK(numbers["requests"] == numbers["allowed"].get<int>() + numbers["denied"].get<int>());
    }
    CHECK(stats["tenant-basic"]["allowed"] == 10);
    CHECK(stats["tenant-basic"]["denied"] == 2);
    CHECK(stats["tenant-basic"]["cache_hits"] == 9);
    CHECK(stats["tenant-basic"]["avg_latency_ms"] > 0.0);
    CHECK(stats["tenant-pro"]["requests"] == 2);
    CHECK(stats["tenant-pro"]["unauthorized"] == 1);
    CHECK(stats["tenant-enterprise"]["requests"] == 0);
}

TEST_CASE("all views of the ledger agree") {
    const Site site;
    Server server = site.serve();
    make_traffic(server);
    Json stats = parse_json(server.get("/stats").body);
    CHECK(site.json({"stats"}) == stats);
    CHECK(site.json({"stats", "tenant-pro"}) == Json{{"tenant-pro", stats["tenant-pro"]}});
    const std::string metrics = server.get("/metrics").body;
    for (const char* tenant : k_demo) {
        const std::string label = "tenant_id=\"" + std::string(tenant) + "\"";
        Json own = parse_json(server.get("/" + std::string(tenant) + "/stats").body);
        for (const char* name : k_kept) {
            CHECK_MESSAGE(own[name] == stats[tenant][name], tenant, " ", name);
        }
        CHECK(metric(metrics, "tenant_requests_total", {label, "status=\"allowed\""}) == stats[tenant]["allowed"]);
        if (stats[tenant]["denied"] > 0) {
            CHECK(metric(metrics, "tenant_requests_total", {label, "status=\"denied\""}) == stats[tenant]["denied"]);
        }
    }
}

TEST_CASE("looking at numbers is neither counted nor charged") {
    const Site site;
    Server server = site.serve();
    CHECK(remaining(server.get("/tenant-basic?q=Hello")) == 9);
    Json before = parse_json(server.get("/stats").body);
    for (int i = 0; i < 20; ++i) {
        CHECK(server.get("/tenant-basic/stats").status == 200);
    }
    check_kept(parse_json(server.get("/stats").body), before);
    CHECK(remaining(server.get("/tenant-basic?q=Hello")) == 8);
}

TEST_CASE("a question on the command line is neither limited nor counted") {
    const Site site;
    Server server = site.serve();
    Json before = parse_json(server.get("/stats").body);
    for (int i = 0; i < 3; ++i) {
        CHECK(site.out({"ask", "tenant-basic", "Hello"}).starts_with("[Basic Corp] Received: Hello\n"));
    }
    check_kept(parse_json(server.get("/stats").body), before);
    CHECK(remaining(server.get("/tenant-basic?q=Hello")) == 9);
}

TEST_CASE("the numbers are there without a server, before and after") {
    const Site site;
    CHECK(site.out({"ask", "tenant-basic", "Hello"}).starts_with("[Basic Corp]"));
    CHECK(site.json({"stats"})["tenant-basic"]["requests"] == 0);
    Server server = site.serve();
    make_traffic(server);
    Json stats = parse_json(server.get("/stats").body);
    CHECK(server.terminate().exit == 0);
    check_kept(site.json({"stats"}), stats);
}

TEST_CASE("stats --watch shows the numbers again and again, until interrupted") {
    const Site site;
    site.add("acme");
    Process watching = site.start({"stats", "--watch"});
    const auto rounds = [&] {
        const std::string text = watching.out();
        std::size_t count = 0;
        for (std::size_t at = text.find("acme"); at != std::string::npos; at = text.find("acme", at + 1)) {
            ++count;
        }
        return count;
    };
    CHECK(time_until([&] { return rounds() >= 2; }, std::chrono::seconds{10}));
    watching.signal(SIGINT);
    const Outcome done = watching.wait();
    CHECK(done.exit == 0);
    CHECK(done.out.find('\x1b') == std::string::npos);
}

TEST_CASE("history and percentiles belong to advanced-analytics") {
    const Site site;
    Server server = site.serve();
    server.get("/tenant-pro?q=Hello");
    const http::Response history = server.get("/tenant-pro/stats?since=1h");
    CHECK(history.status == 200);
    CHECK(parse_json(history.body)["requests"] == 1);
    const http::Response refused = server.get("/tenant-basic/stats?since=1h");
    CHECK(refused.status == 403);
    CHECK(refused.body.find("advanced-analytics") != std::string::npos);
}

}  // namespace
}  // namespace mt::test
