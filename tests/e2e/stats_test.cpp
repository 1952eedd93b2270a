// What `mtagent stats` and `mtagent check` say of the ledger, beside a server and without one.

#include <array>
#include <csignal>

#include "e2e/ledger_rows.h"
#include "e2e/site.h"

namespace mt::test {
namespace {

const std::vector<std::string> k_demo{"tenant-basic", "tenant-pro", "tenant-enterprise"};

void make_traffic(Server& server) {
    for (int i = 0; i < 12; ++i) {
        server.get("/tenant-basic?q=Hello");
    }
    server.get("/tenant-pro?q=Hello");
    server.get("/tenant-pro?q=analyze+3,+5,+8");
    server.get("/tenant-pro?q=Hello", {{"X-API-Key", "wrong"}});
    server.get("/tenant-enterprise?q=remember+that+the+sky+is+blue&session=s");
}

// The numbers that outlive a process.
Json kept(Json stats) {
    for (auto& [tenant, numbers] : stats.items()) {
        for (const char* gauge : {"in_flight", "cache_entries", "storage_bytes"}) {
            numbers.erase(gauge);
        }
    }
    return stats;
}

TEST_CASE("stats beside a server: every number is that of /stats") {
    const Site site;
    Server server = site.serve();
    make_traffic(server);
    Json stats = parse_json(server.get("/stats").body);
    CHECK(stats["tenant-basic"]["denied"] == 2);
    CHECK(site.json({"stats"}) == stats);
    const std::vector<std::string> lines = lines_of(site.out({"stats"}));
    REQUIRE(lines.size() == 1 + k_demo.size());
    CHECK(lines[0].starts_with("TENANT "));
    for (std::size_t i = 1; i < lines.size(); ++i) {
        const std::vector<std::string> words = words_of(lines[i]);
        REQUIRE(words.size() == 10);
        const Json& own = stats.at(words[0]);
        const std::array<const char*, 9> names{"requests",  "allowed",        "denied",
                                               "errors",    "avg_latency_ms", "cache_hits",
                                               "tokens_in", "tokens_out",     "storage_bytes"};
        for (std::size_t k = 0; k < names.size(); ++k) {
            CAPTURE(names[k]);
            CHECK(std::stod(words[k + 1]) == doctest::Approx(own.at(names[k]).get<double>()));
        }
        CHECK_MESSAGE(lines[i].size() == lines[0].size(), "numbers stand at the right");
    }
    // The last while holds all of it, in memory or in the files.
    CHECK(kept(site.json({"stats", "--since", "1h"})) == kept(stats));
    CHECK(site.json({"stats", "tenant-pro", "tenant-pro"}) == Json{{"tenant-pro", stats["tenant-pro"]}});
}

TEST_CASE("the numbers outlive SIGTERM and kill -9, in every view") {
    const Site site;
    for (const bool killed : {false, true}) {
        CAPTURE(killed);
        Server server = site.serve();
        make_traffic(server);
        const Json stats = parse_json(server.get("/stats").body);
        killed ? server.kill() : server.terminate();
        CHECK(kept(site.json({"stats"})) == kept(stats));
        CHECK(kept(site.json({"stats", "--since", "1h"})) == kept(stats));
        for (const Json& row : parse_lines(site.out({"stats", "export", "--month", month_from_now(0), "--json"}))) {
            const Json& own = stats.at(row.at("tenant").get<std::string>());
            CHECK(row.at("requests") == own.at("requests"));
            CHECK(row.at("tokens_out") == own.at("tokens_out"));
            CHECK(row.at("avg_latency_ms") == own.at("avg_latency_ms"));
            CHECK(row.at("complete") == false);
        }
        Json checked = site.json({"check"});
        CHECK(checked["books"]["tenants"] == 3);
        CHECK(checked["books"]["unwritten_calls"].is_number());
        if (!killed) {
            CHECK(checked["books"]["unwritten_calls"] == 0);
        }
        CHECK(site.out({"check"}).find("books of 3 tenants add up\n") != std::string::npos);
    }
}

TEST_CASE("check tells the calls that a killed server has not written") {
    const Site site;
    Server server = site.serve();
    server.get("/tenant-pro?q=Hello");
    CHECK(server.terminate().exit == 0);
    // Less in the file than in the slot: what a server leaves that is killed between counting and writing.
    execute(file_of(site, "tenant-pro"), "DELETE FROM ledger_totals; DELETE FROM ledger_minutes;");
    Json checked = site.json({"check"});
    CHECK(checked["books"] == Json{{"tenants", 3}, {"unwritten_calls", 1}});
    CHECK(site.json({"stats"})["tenant-pro"]["requests"] == 1);
    CHECK(site.json({"stats", "--since", "1m"})["tenant-pro"]["requests"] == 1);
}

TEST_CASE("--since sums up the last while alone") {
    const Site site;
    add_with_tables(site, {"acme", "beta"});
    const std::int64_t now = minute_now();
    count(site, "acme", "minute", now - 5, 1);
    count(site, "acme", "minute", now - 115, 20);
    count(site, "acme", "minute", now - 23 * 60, 300);
    count(site, "acme", "hour", now / 60 - 50, 4000);
    const auto requests = [&](const char* since) {
        return site.json({"stats", "acme", "--since", since})["acme"]["requests"].get<int>();
    };
    CHECK(site.json({"stats", "acme"})["acme"]["requests"] == 4321);
    CHECK(requests("1m") == 0);
    CHECK(requests("10m") == 1);
    CHECK(requests("2h") == 21);
    CHECK(requests("24h") == 321);
    CHECK(requests("3d") == 4321);
    CHECK(requests("36500d") == 4321);
    CHECK(site.json({"stats", "--since", "2h"})["beta"]["requests"] == 0);
    CHECK(words_of(lines_of(site.out({"stats", "--since", "24h"}))[1])[1] == "321");
    for (const char* wrong : {"yesterday", "-1h", "5 parsecs"}) {
        CHECK(site.run({"stats", std::string("--since=") + wrong}).exit == 64);
    }
    CHECK(site.run({"stats", "nobody"}).exit == 3);
    CHECK(site.run({"stats", "acme", "nobody", "--since", "1h"}).exit == 3);
}

TEST_CASE("check sees books that do not add up, and says whose") {
    const Site site;
    add_with_tables(site, {"acme", "beta", "gamma"});
    count(site, "acme", "minute", minute_now() - 1, 5);
    count(site, "beta", "hour", minute_now() / 60 - 1000, 6);
    count(site, "gamma", "month", 202001, 7);
    Json sound = site.json({"check"});
    CHECK(sound["books"] == Json{{"tenants", 3}, {"unwritten_calls", 0}});
    CHECK(site.out({"check"}).find("books of 3 tenants add up\n") != std::string::npos);
    const std::vector<std::array<std::string, 3>> forgeries{
        {"acme", "ledger_minutes SET served = served + 1", "served"},
        {"beta", "ledger_hours SET tokens_in = tokens_in - 1", "tokens_in"},
        {"gamma", "ledger_months SET latency_le_1000000 = 0", "latency_le_1000000"},
        {"acme", "ledger_totals SET served = served - 2", "served"}};
    for (const auto& [tenant, change, name] : forgeries) {
        CAPTURE(change);
        const std::string former = read_text(file_of(site, tenant));
        execute(file_of(site, tenant), "UPDATE " + change);
        const Outcome done = site.run({"check"});
        CHECK(done.exit == 1);
        CHECK(done.out.find("books of 2 tenants add up\n") != std::string::npos);
        CHECK_MESSAGE(done.out.find("fault: tenant '" + tenant + "': " + name + " is ") != std::string::npos, done.out);
        for (const char* end : {"-wal", "-shm"}) {
            std::filesystem::remove(file_of(site, tenant).string() + end);
        }
        site.write("data/tenants/" + tenant + ".db", former);
        CHECK(site.run({"check"}).exit == 0);
    }
}

TEST_CASE("check sees a slot that is behind the file") {
    const Site site;
    Server server = site.serve();
    server.get("/tenant-pro?q=Hello");
    CHECK(server.terminate().exit == 0);
    CHECK(site.run({"check"}).exit == 0);
    execute(file_of(site, "tenant-pro"),
            "UPDATE ledger_totals SET served = served + 1; UPDATE ledger_minutes SET served = served + 1;");
    const Outcome done = site.run({"check"});
    CHECK(done.exit == 1);
    CHECK_MESSAGE(
        done.out.find("fault: tenant 'tenant-pro': served is 1 in its slot but 2 in its file") != std::string::npos,
        done.out);
}

}  // namespace
}  // namespace mt::test
