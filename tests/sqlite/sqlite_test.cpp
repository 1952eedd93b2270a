#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

#include "sqlite/data_folder.h"
#include "sqlite/database.h"
#include "sqlite/tenant_files.h"
#include "support/temp_folder.h"

using namespace mt;

namespace {

constexpr std::array<std::string_view, 1> k_first{"CREATE TABLE things(id INTEGER PRIMARY KEY, name TEXT) STRICT"};
constexpr std::array<std::string_view, 2> k_second{"CREATE TABLE things(id INTEGER PRIMARY KEY, name TEXT) STRICT",
                                                   "ALTER TABLE things ADD COLUMN size INTEGER DEFAULT 7"};
constexpr SchemaPart k_old{"things", k_first};
constexpr SchemaPart k_new{"things", k_second};

std::unique_ptr<Database> open(const std::filesystem::path& path, OpenOptions options = {}) {
    options.create = true;
    Result<std::unique_ptr<Database>> database = Database::open(path, options);
    REQUIRE(database);
    return *std::move(database);
}

mode_t mode_of(const std::filesystem::path& path) {
    struct stat status {};
    REQUIRE(stat(path.c_str(), &status) == 0);
    return status.st_mode & 0777U;
}

std::int64_t count_things(TenantFiles& files, const std::string& tenant) {
    std::int64_t count = -1;
    REQUIRE(files.read(tenant, k_new, [&](Database& database) -> Result<void> {
        Query query = database.query("SELECT count(*) FROM things");
        query.step();
        count = query.integer(0);
        return {};
    }));
    return count;
}

Result<void> add_thing(TenantFiles& files, const std::string& tenant) {
    return files.write(tenant, k_new, [](Database& database) -> Result<void> {
        database.query("INSERT INTO things(name) VALUES('x')").execute();
        return {};
    });
}

}  // namespace

TEST_CASE("a database file is private and a missing one is made only when asked") {
    const test::TempFolder folder;
    const Result<std::unique_ptr<Database>> missing = Database::open(folder.path() / "no.db", {});
    REQUIRE_FALSE(missing);
    CHECK(missing.error().code == Code::not_found);
    const auto database = open(folder.path() / "a.db");
    REQUIRE(database->migrate(k_new));
    CHECK(mode_of(folder.path() / "a.db") == 0600);
    CHECK(mode_of(folder.path() / "a.db-wal") == 0600);
}

TEST_CASE("a file that is no database is an error, not a crash") {
    const test::TempFolder folder;
    std::ofstream(folder.path() / "a.db") << std::string(4096, 'x');
    const Result<std::unique_ptr<Database>> opened = Database::open(folder.path() / "a.db", {});
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == Code::failed);
}

TEST_CASE("migrations run in steps, once, and a newer schema is refused") {
    const test::TempFolder folder;
    const auto path = folder.path() / "a.db";
    {
        const auto database = open(path);
        REQUIRE(database->migrate(k_old));
        REQUIRE(database->migrate(k_old));
        REQUIRE(database->run([&]() -> Result<void> {
            database->query("INSERT INTO things(name) VALUES(?)").bind(1, "old").execute();
            return {};
        }));
    }
    const auto database = open(path);
    REQUIRE(database->migrate(k_new));
    REQUIRE(database->run([&]() -> Result<void> {
        Query row = database->query("SELECT name, size FROM things");
        CHECK(row.step());
        CHECK(row.text(0) == "old");
        CHECK(row.integer(1) == 7);
        return {};
    }));
    const Result<void> older = database->migrate(k_old);
    REQUIRE_FALSE(older);
    CHECK(older.error().code == Code::version_mismatch);
}

TEST_CASE("a failed step changes nothing") {
    constexpr std::array<std::string_view, 2> k_broken{k_first[0], "CREATE TABLE things(again TEXT)"};
    const test::TempFolder folder;
    const auto database = open(folder.path() / "a.db");
    CHECK_FALSE(database->migrate({"things", k_broken}));
    CHECK(database->migrate(k_new));
}

TEST_CASE("a transaction is undone when its work fails") {
    const test::TempFolder folder;
    const auto database = open(folder.path() / "a.db");
    REQUIRE(database->migrate(k_new));
    const Result<void> failed = database->transaction([&]() -> Result<void> {
        database->query("INSERT INTO things(name) VALUES('x')").execute();
        return Error{Code::invalid, "no"};
    });
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == Code::invalid);
    REQUIRE(database->run([&]() -> Result<void> {
        Query row = database->query("SELECT count(*) FROM things");
        row.step();
        CHECK(row.integer(0) == 0);
        return {};
    }));
}

TEST_CASE("a full file is storage_full, and reading goes on") {
    const test::TempFolder folder;
    OpenOptions options;
    options.max_bytes = 64 * 1024;
    const auto database = open(folder.path() / "a.db", options);
    REQUIRE(database->migrate(k_new));
    Result<void> outcome;
    for (int i = 0; i < 100 && outcome; ++i) {
        outcome = database->transaction([&]() -> Result<void> {
            database->query("INSERT INTO things(name) VALUES(?)").bind(1, std::string(4000, 'x')).execute();
            return {};
        });
    }
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == Code::storage_full);
    CHECK(*database->integrity() == "ok");
}

TEST_CASE("texts and blobs keep any bytes") {
    const test::TempFolder folder;
    const auto database = open(folder.path() / "a.db");
    const std::string bytes("a\0b\xff", 4);
    REQUIRE(database->run([&]() -> Result<void> {
        database->execute("CREATE TABLE blobs(value BLOB)");
        database->query("INSERT INTO blobs VALUES(?)").bind_blob(1, bytes).execute();
        database->query("INSERT INTO blobs VALUES(?)").bind_blob(1, "").execute();
        Query row = database->query("SELECT value FROM blobs ORDER BY length(value)");
        CHECK(row.step());
        CHECK_FALSE(row.is_null(0));
        CHECK(row.text(0).empty());
        CHECK(row.step());
        CHECK(row.text(0) == bytes);
        return {};
    }));
}

TEST_CASE("tenant files: one per tenant, opened lazily, closed past the bound, removed whole") {
    const test::TempFolder folder;
    TenantFiles files(folder.path(), {4, true});
    for (int i = 0; i < 20; ++i) {
        const std::string tenant = "t" + std::to_string(i);
        REQUIRE(files.create(tenant));
        REQUIRE(add_thing(files, tenant));
        CHECK(files.open_count() <= 4);
    }
    for (int i = 0; i < 20; ++i) {
        CHECK(count_things(files, "t" + std::to_string(i)) == 1);
    }
    REQUIRE(files.remove("t19"));
    CHECK_FALSE(files.exists("t19"));
    CHECK_FALSE(std::filesystem::exists(folder.path() / "t19.db-wal"));
    CHECK_FALSE(std::filesystem::exists(folder.path() / "t19.db-shm"));
    const Result<void> gone = add_thing(files, "t19");
    REQUIRE_FALSE(gone);
    CHECK(gone.error().code == Code::not_found);
    CHECK(files.remove("t19"));
}

TEST_CASE("many threads on few files lose no write") {
    const test::TempFolder folder;
    TenantFiles files(folder.path(), {2, true});
    for (const char* tenant : {"a", "b", "c", "d"}) {
        REQUIRE(files.create(tenant));
    }
    std::atomic<int> failures{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 8; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < 25; ++i) {
                    failures += add_thing(files, std::string(1, static_cast<char>('a' + (t + i) % 4))) ? 0 : 1;
                }
            });
        }
    }
    CHECK(failures == 0);
    CHECK(count_things(files, "a") + count_things(files, "b") + count_things(files, "c") + count_things(files, "d") ==
          200);
}

TEST_CASE("after a clean stop each tenant is one file") {
    const test::TempFolder folder;
    {
        TenantFiles server(folder.path(), {4, true});
        TenantFiles beside(folder.path(), {4, false});
        REQUIRE(beside.create("a"));
        REQUIRE(add_thing(beside, "a"));
        REQUIRE(server.checkpoint_leftovers());
    }
    CHECK_FALSE(std::filesystem::exists(folder.path() / "a.db-wal"));
    TenantFiles again(folder.path(), {4, true});
    CHECK(count_things(again, "a") == 1);
}

TEST_CASE("a folder beside a running server keeps its log") {
    const test::TempFolder folder;
    {
        TenantFiles beside(folder.path(), {4, false});
        REQUIRE(beside.create("a"));
        REQUIRE(add_thing(beside, "a"));
    }
    CHECK(std::filesystem::exists(folder.path() / "a.db-wal"));
}

TEST_CASE("the data folder is private and has one holder") {
    const test::TempFolder folder;
    const auto path = folder.path() / "data";
    CHECK(DataFolder::open(path, false).error().code == Code::not_found);
    Result<DataFolder> data = DataFolder::open(path, true);
    REQUIRE(data);
    CHECK(mode_of(path) == 0700);
    CHECK_FALSE(data->holder());
    {
        Result<FolderLock> lock = data->lock();
        REQUIRE(lock);
        REQUIRE(lock->describe("pid 1, http://127.0.0.1:1"));
        CHECK(data->holder() == "pid 1, http://127.0.0.1:1");
        const Result<FolderLock> second = data->lock();
        REQUIRE_FALSE(second);
        CHECK(second.error().code == Code::unavailable);
        CHECK(second.error().message.find("pid 1") != std::string::npos);
    }
    CHECK_FALSE(data->holder());
    CHECK(data->lock());
}

TEST_CASE("the operator's token is made once, private, and a damaged one is told") {
    const test::TempFolder folder;
    Result<DataFolder> data = DataFolder::open(folder.path() / "data", true);
    REQUIRE(data);
    const Result<std::string> token = data->operator_token();
    REQUIRE(token);
    CHECK(token->size() == 64);
    CHECK(*data->operator_token() == *token);
    CHECK(mode_of(data->path() / "operator.token") == 0600);
    std::ofstream(data->path() / "operator.token") << "";
    CHECK(data->operator_token().error().code == Code::config);
}
