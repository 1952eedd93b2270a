#include <string>

#include "storage/contract.h"

using mt::Code;
using mt::Database;
using mt::Entry;
using mt::Query;
using mt::Result;
using mt::SchemaPart;
using mt::Store;
using mt::StoreParams;
using mt::TenantFiles;
using namespace mt::test;

namespace {

constexpr SchemaPart k_nothing{"test", {}};

std::int64_t ask(TenantFiles& files, const std::string& sql) {
    std::int64_t answer = 0;
    const Result<void> done = files.read("one", k_nothing, [&](Database& database) -> Result<void> {
        Query query = database.query(sql);
        REQUIRE(query.step());
        answer = query.integer(0);
        return {};
    });
    REQUIRE(done);
    return answer;
}

}  // namespace

TEST_CASE("entries, versions, expiry and accounting are there after reopening") {
    StoreBed bed("sqlite");
    {
        const auto store = bed.open("one");
        REQUIRE(store->put("ns", "a", "1"));
        REQUIRE(store->put("ns", "a", "2"));
        REQUIRE(store->put("ns", "b", "3", {.ttl = std::chrono::milliseconds{100}}));
    }
    TenantFiles files(bed.folder(), {});
    Result<std::unique_ptr<Store>> store = mt::open_store("sqlite", {"one", 12, bed.clock(), files});
    REQUIRE(store);
    CHECK(bytes_of(**store) == 8);
    CHECK(code_of((*store)->put("ns", "c", "12")) == Code::storage_full);
    CHECK(version_after((*store)->put("ns", "a", "4")) == 3);
    CHECK(value_of(**store, "ns", "b") == "3");
    bed.clock().advance(std::chrono::milliseconds{100});
    CHECK_FALSE(value_of(**store, "ns", "b"));
    CHECK(bytes_of(**store) == 4);
}

TEST_CASE("a missing file is not_found for every operation, and nothing makes it") {
    StoreBed bed("sqlite");
    Result<std::unique_ptr<Store>> opened = mt::open_store("sqlite", {"gone", 100, bed.clock(), bed.files()});
    REQUIRE(opened);
    Store& store = **opened;
    CHECK(code_of(store.put("ns", "k", "v")) == Code::not_found);
    CHECK(code_of(store.get("ns", "k")) == Code::not_found);
    CHECK(code_of(store.list("ns", "", "", 1)) == Code::not_found);
    CHECK(code_of(store.erase("ns", "k")) == Code::not_found);
    CHECK(code_of(store.clear("ns")) == Code::not_found);
    CHECK(code_of(store.bytes_used()) == Code::not_found);
    CHECK_FALSE(bed.files().exists("gone"));
}

TEST_CASE("expired rows are swept from the file by later writes, and only so many at once") {
    StoreBed bed("sqlite");
    const auto store = bed.open("one");
    for (int i = 0; i < 1000; ++i) {
        REQUIRE(store->put("ns", std::to_string(i), "v", {.ttl = std::chrono::milliseconds{10}}));
    }
    bed.clock().advance(std::chrono::milliseconds{10});
    CHECK(ask(bed.files(), "SELECT count(*) FROM kv") == 1000);
    REQUIRE(store->put("ns", "new", "v"));
    CHECK(ask(bed.files(), "SELECT count(*) FROM kv") == 1001 - 256);
    CHECK_FALSE(*store->erase("ns", "absent"));
    REQUIRE(store->clear("other"));
    REQUIRE(store->put("ns", "new", "v"));
    CHECK(ask(bed.files(), "SELECT count(*) FROM kv") == 1);
    CHECK(ask(bed.files(), "SELECT bytes FROM kv_usage") == 6);
}

TEST_CASE("the file is bounded at twice the quota and 64 MiB, also after a change") {
    StoreBed bed("sqlite");
    const auto store = bed.open("one", 1'000'000);
    REQUIRE(store->put("ns", "k", "v"));
    const std::int64_t page_size = ask(bed.files(), "PRAGMA page_size");
    const auto bound = [&] { return ask(bed.files(), "PRAGMA max_page_count") * page_size; };
    const std::int64_t spare = 64LL * 1024 * 1024;
    CHECK(bound() / page_size == (2'000'000 + spare) / page_size + 1);
    store->set_max_bytes(5'000'000);
    CHECK(bound() / page_size == (10'000'000 + spare) / page_size + 1);
    CHECK(value_of(*store, "ns", "k") == "v");
}

TEST_CASE("two stores on one file, through one connection or two, lose nothing") {
    constexpr int k_rounds = 150;
    for (const bool shared : {true, false}) {
        CAPTURE(shared);
        StoreBed bed("sqlite");
        TenantFiles other(bed.folder(), {});
        const auto first = bed.open("one");
        Result<std::unique_ptr<Store>> second =
            mt::open_store("sqlite", {"one", 1'000'000, bed.clock(), shared ? bed.files() : other});
        REQUIRE(second);
        std::atomic<int> failed{0};
        const auto work = [&](Store& store, const std::string& own) {
            for (int i = 0; i < k_rounds; ++i) {
                failed += count_up(store) ? 0 : 1;
                failed += store.put("ns", own + std::to_string(i), "value") ? 0 : 1;
            }
        };
        {
            const std::jthread a([&] { work(*first, "a"); });
            const std::jthread b([&] { work(**second, "b"); });
        }
        CHECK(failed == 0);
        CHECK(value_of(*first, "ns", "count") == std::to_string(2 * k_rounds));
        CHECK(first->list("ns", "", "", 1000)->entries.size() == 2 * k_rounds + 1);
        CHECK(bytes_of(*first) == ask(bed.files(), "SELECT sum(length(ns) + length(key) + length(value)) FROM kv"));
        CHECK(bytes_of(**second) == bytes_of(*first));
    }
}

TEST_CASE("a file written by a newer program is refused, and left as it is") {
    StoreBed bed("sqlite");
    const auto store = bed.open("one");
    REQUIRE(store->put("ns", "k", "v"));
    const Result<void> done = bed.files().write("one", k_nothing, [&](Database& database) -> Result<void> {
        database.execute("UPDATE schema_parts SET version = 99 WHERE name = 'store'");
        return {};
    });
    REQUIRE(done);
    TenantFiles files(bed.folder(), {});
    Result<std::unique_ptr<Store>> newer = mt::open_store("sqlite", {"one", 100, bed.clock(), files});
    REQUIRE(newer);
    CHECK(code_of((*newer)->put("ns", "k", "w")) == Code::version_mismatch);
    CHECK(value_of(*store, "ns", "k") == "v");
}
