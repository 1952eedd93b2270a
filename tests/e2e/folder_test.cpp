// Data folders that do not work: not writable, from a newer program, full, busy; and many commands at once.

#include <SQLiteCpp/SQLiteCpp.h>
#include <unistd.h>

#include <optional>

#include "e2e/site.h"
#include "sqlite/database.h"
#include "support/small_disk.h"

namespace mt::test {
namespace {

// Runs SQL on a file of the data folder, as somebody else would.
void execute(const std::filesystem::path& file, const std::string& sql) {
    Result<std::unique_ptr<Database>> database = Database::open(file, {});
    REQUIRE(database);
    const Result<void> done = (*database)->run([&]() -> Result<void> {
        (*database)->execute(sql);
        return {};
    });
    CHECK(done);
}

TEST_CASE("a data folder that is not writable is said to be") {
    Site site;
    site.launch().obeys_permissions = true;
    site.add("acme");
    using std::filesystem::perms;
    std::filesystem::permissions(site.path("data"), perms::owner_read | perms::owner_exec);
    for (const Words& words : {Words{"serve", "--listen", "127.0.0.1:0"}, Words{"tenant", "add", "other"}}) {
        const Outcome done = site.run(words);
        CHECK(done.exit == 69);
        CHECK_MESSAGE((done.err.find("data") != std::string::npos && done.err.find("writable") != std::string::npos),
                      done.err);
    }
    std::filesystem::permissions(site.path("data"), perms::owner_all);
    CHECK(site.json({"tenant", "list"}).size() == 1);

    std::filesystem::create_directory(site.path("closed"));
    std::filesystem::permissions(site.path("closed"), perms::owner_read | perms::owner_exec);
    const Outcome inside = site.run({"serve", "--listen", "127.0.0.1:0", "--data", "closed/data"});
    CHECK(inside.exit == 69);
    CHECK(inside.err.find("closed") != std::string::npos);
    const Outcome file = site.run({"serve", "--listen", "127.0.0.1:0", "--data", "tenants.toml"});
    CHECK(file.exit == 69);
}

TEST_CASE("files of a newer program are refused and left alone") {
    const Site site;
    site.add("acme");
    {
        Server server = site.serve();
        CHECK(server.terminate().exit == 0);
    }
    execute(site.path("data/registry.db"), "UPDATE schema_parts SET version = version + 99");
    for (const Words& words : {Words{"serve", "--listen", "127.0.0.1:0"}, Words{"tenant", "list"},
                               Words{"tenant", "add", "other"}, Words{"stats"}}) {
        const Outcome done = site.run(words);
        CHECK(done.exit == 78);
        CHECK_MESSAGE(
            (done.err.find("registry.db") != std::string::npos && done.err.find("newer") != std::string::npos),
            done.err);
    }
    execute(site.path("data/registry.db"), "UPDATE schema_parts SET version = version - 99");
    execute(site.path("data/tenants/acme.db"), "UPDATE schema_parts SET version = version + 99");
    const Outcome config = site.run({"tenant", "config", "acme", "rate_limit=5"});
    CHECK(config.exit == 78);
    CHECK(config.err.find("acme.db") != std::string::npos);
}

// acme's file cannot be used: its own calls fail, and nothing else does.
void check_others_are_served(const Site& site, const std::string& key) {
    Server server = site.serve();
    CHECK(server.get("/acme?q=Hello", bearer(key)).status >= 500);
    CHECK(server.get("/tenant-basic?q=Hello").status == 200);
    CHECK(site.json({"tenant", "list"}).size() == 4);
    const http::Response stats = server.get("/stats");
    CHECK(stats.status == 200);
    CHECK(stats.body.find("\"tenant-basic\"") != std::string::npos);
    CHECK(server.get("/metrics").status == 200);
    CHECK(site.run({"stats", "tenant-basic"}).exit == 0);
    CHECK(site.run({"check"}).exit == 1);
}

TEST_CASE("one tenant's file from a newer program spoils nothing for the others") {
    const Site site;
    const std::string key = site.add("acme");
    execute(site.path("data/tenants/acme.db"), "UPDATE schema_parts SET version = version + 99");
    check_others_are_served(site, key);
}

TEST_CASE("one tenant's damaged file spoils nothing for the others") {
    const Site site;
    const std::string key = site.add("acme");
    site.write("data/tenants/acme.db", std::string(8192, 'x'));
    std::filesystem::remove(site.path("data/tenants/acme.db-wal"));
    check_others_are_served(site, key);
}

TEST_CASE("a registry that is busy ends with 75") {
    const Site site;
    site.add("acme");
    Result<std::unique_ptr<Database>> database = Database::open(site.path("data/registry.db"), {});
    REQUIRE(database);
    const Result<void> held = (*database)->transaction([&]() -> Result<void> {
        CHECK(site.run({"tenant", "add", "other"}).exit == 75);
        CHECK(site.json({"tenant", "list"}).size() == 1);
        return {};
    });
    CHECK(held);
    CHECK(site.run({"tenant", "add", "other"}).exit == 0);
}

// Two first starts at once: one finds the registry half made by the other.
TEST_CASE("a registry that somebody else is just making is waited for") {
    const Site site;
    std::filesystem::create_directory(site.path("data"));
    SQLite::Database other(site.path("data/registry.db").string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    other.exec("BEGIN IMMEDIATE");
    Process add = site.start({"tenant", "add", "acme"});
    CHECK_FALSE(add.ended(std::chrono::milliseconds{500}));
    other.exec("COMMIT");
    CHECK(add.wait().exit == 0);
}

TEST_CASE("a full disk: clear refusals, and everything works again when there is room") {
    const Site site;
    const SmallDisk disk(site.path("data"), "8m");
    if (!disk.mounted()) {
        MESSAGE("SKIPPED: mounting a small disk needs the rights of root");
        return;
    }
    const std::string key = site.add("acme", {"--storage-type", "sqlite", "--rate-limit", "100000"});
    http::Fields who = bearer(key);
    who.emplace_back("Content-Type", "text/plain");
    Server server = site.serve();
    CHECK(server.send("POST", "/acme", who, "remember colour = turquoise").status == 200);
    for (const char* tenant : {"basic", "pro", "enterprise"}) {
        CHECK(server.get("/tenant-" + std::string(tenant) + "?q=Hello").status == 200);
    }
    disk.fill();

    const Outcome add = site.run({"tenant", "add", "other"});
    CHECK(add.exit != 0);
    CHECK_FALSE(add.err.empty());
    int status = 200;
    for (int i = 0; i < 200 && status == 200; ++i) {
        status =
            server.send("POST", "/acme", who, "remember k" + std::to_string(i) + " = " + std::string(4000, 'x')).status;
    }
    CHECK(status == 507);
    CHECK(server.get("/acme?q=recall+colour", who).body.find("turquoise") != std::string::npos);
    CHECK(server.get("/tenant-basic?q=Hello").status == 200);
    CHECK(server.get("/stats").status == 200);
    CHECK_FALSE(server.process().ended());

    disk.empty();
    CHECK(server.send("POST", "/acme", who, "remember late = 1").status == 200);
    const auto is_ready = [&] { return server.get("/readyz").status == 200; };
    CHECK(time_until(is_ready, std::chrono::seconds{10}));
    CHECK(server.terminate().exit == 0);
    CHECK(site.json({"check"})["faults"].empty());
    CHECK(site.run({"tenant", "add", "other"}).exit == 0);
}

TEST_CASE("no room for a first start is said so") {
    const Site site;
    const SmallDisk disk(site.path("data"), "64k");
    if (!disk.mounted()) {
        MESSAGE("SKIPPED: mounting a small disk needs the rights of root");
        return;
    }
    disk.fill();
    const Outcome done = site.run({"serve", "--listen", "127.0.0.1:0"});
    CHECK(done.exit == 1);
    CHECK_FALSE(done.err.empty());
}

std::vector<Process> start_all(const Site& site, const std::vector<Words>& commands) {
    std::vector<Process> running;
    running.reserve(commands.size());
    for (const Words& words : commands) {
        running.push_back(site.start(words));
    }
    return running;
}

TEST_CASE("of many that add the same tenant at once exactly one wins") {
    for (const bool served : {false, true}) {
        CAPTURE(served);
        const Site site;
        std::optional<Server> server;
        if (served) {
            server.emplace(Launch{site.path()});
        }
        int won = 0;
        for (Process& process : start_all(site, std::vector<Words>(6, {"tenant", "add", "acme"}))) {
            const Outcome done = process.wait();
            won += done.exit == 0 ? 1 : 0;
            CHECK_MESSAGE((done.exit == 0 || done.exit == 4 || done.exit == 75), done.exit, ": ", done.err);
        }
        CHECK(won == 1);
        CHECK(site.json({"key", "list", "acme"}).size() == 1);
    }
}

TEST_CASE("twenty tenants added at once are all there, and each key opens its own") {
    const Site site;
    Server server = site.serve();
    std::vector<Words> commands;
    commands.reserve(20);
    for (int i = 0; i < 20; ++i) {
        commands.push_back({"tenant", "add", "t" + std::to_string(i)});
    }
    std::vector<Process> running = start_all(site, commands);
    for (std::size_t i = 0; i < running.size(); ++i) {
        const Outcome done = running[i].wait();
        CHECK_MESSAGE(done.exit == 0, done.err);
        const std::string target = "/t" + std::to_string(i) + "?q=Hello";
        const http::Fields who = bearer(done.out.substr(0, done.out.find('\n')));
        CHECK(time_until([&] { return server.get(target, who).status == 200; }, std::chrono::seconds{5}));
    }
    CHECK(site.json({"tenant", "list"}).size() == 23);
    CHECK(site.json({"check"})["faults"].empty());
}

}  // namespace
}  // namespace mt::test
