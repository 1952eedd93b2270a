#include <latch>
#include <set>

#include "storage/contract.h"

using mt::Code;
using mt::Entry;
using mt::Page;
using mt::Result;
using mt::Store;
using mt::StoreParams;
using namespace mt::test;
using namespace std::chrono_literals;

namespace {

struct InPostgres {
    StoreBed bed{"postgres"};
};

// A store of a life of a tenant, beside those of the bed.
std::unique_ptr<Store> open_life(StoreBed& bed, const std::string& tenant, const std::string& uid,
                                 std::int64_t max_bytes = 1'000'000) {
    StoreParams params = bed.params(tenant, max_bytes);
    params.uid = uid;
    Result<std::unique_ptr<Store>> store = mt::open_store("postgres", params);
    REQUIRE(store);
    return *std::move(store);
}

Result<void> erase_life(StoreBed& bed, const std::string& tenant, const std::string& uid) {
    StoreParams params = bed.params(tenant, 0);
    params.uid = uid;
    return mt::erase_store("postgres", params);
}

std::string ask(const std::string& sql) {
    return shared_postgres().server.ask(sql);
}

std::string count_schemas(const std::string& tenant) {
    return ask("SELECT count(*) FROM pg_namespace WHERE nspname = 'tenant_" + tenant + "'");
}

// The rows that are there, summed up, against what is kept about them.
void check_books(const std::string& tenant) {
    const std::string schema = "\"tenant_" + tenant + "\"";
    CHECK(ask("SELECT (SELECT coalesce(sum(length(ns) + length(key) + length(value)), 0) FROM " + schema +
              ".kv) = (SELECT bytes FROM " + schema + ".life)") == "t");
}

}  // namespace

TEST_CASE("without a server the type is a mistake of the configuration") {
    StoreBed bed("memory");
    const auto store = mt::open_store("postgres", bed.params("one", 1));
    REQUIRE_FALSE(store);
    CHECK(store.error().code == Code::config);
    CHECK(store.error().message.find("POSTGRES_URL") != std::string::npos);
    CHECK(code_of(mt::erase_store("postgres", bed.params("one", 1))) == Code::config);
}

TEST_CASE_FIXTURE(InPostgres, "reading makes nothing; the first write makes the schema" * k_needs_postgres) {
    const auto store = bed.open("lazy");
    CHECK_FALSE(value_of(*store, "ns", "key"));
    CHECK(store->list("ns", "", "", 10)->entries.empty());
    CHECK(bytes_of(*store) == 0);
    CHECK_FALSE(*store->erase("ns", "key"));
    CHECK(store->clear("ns"));
    CHECK(count_schemas("lazy") == "0");
    CHECK(store->put("ns", "key", "value"));
    CHECK(count_schemas("lazy") == "1");
    const auto again = bed.open("lazy", 20);
    CHECK(value_of(*again, "ns", "key") == "value");
    CHECK(code_of(again->put("ns", "more", "of it that is too much")) == Code::storage_full);
}

TEST_CASE_FIXTURE(InPostgres,
                  "ids of 48 characters that share 47, with identical keys, never meet" * k_needs_postgres) {
    const std::string shared = "a-b_" + std::string(43, 'x');
    std::vector<std::unique_ptr<Store>> stores;
    for (const char last : {'1', '2', '-', '_'}) {
        stores.push_back(bed.open(shared + last));
        REQUIRE(stores.back()->put("ns", "key", std::string(1, last)));
    }
    CHECK(*stores[0]->erase("ns", "key"));
    CHECK(stores[1]->clear("ns"));
    CHECK_FALSE(value_of(*stores[0], "ns", "key"));
    CHECK_FALSE(value_of(*stores[1], "ns", "key"));
    CHECK(value_of(*stores[2], "ns", "key") == "-");
    CHECK(value_of(*stores[3], "ns", "key") == "_");
    REQUIRE(mt::erase_store("postgres", bed.params(shared + "-", 0)));
    CHECK_FALSE(value_of(*stores[2], "ns", "key"));
    CHECK(value_of(*stores[3], "ns", "key") == "_");
}

TEST_CASE_FIXTURE(InPostgres,
                  "a new life sees and changes nothing of the old one, and the old one nothing of the new one" *
                      k_needs_postgres) {
    const auto old_life = open_life(bed, "phoenix", "first");
    const auto new_life = open_life(bed, "phoenix", "second");
    REQUIRE(old_life->put("ns", "key", "old"));
    const auto foreign = [](Store& store) {
        CHECK_FALSE(value_of(store, "ns", "key"));
        CHECK(store.list("ns", "", "", 10)->entries.empty());
        CHECK(bytes_of(store) == 0);
        CHECK(code_of(store.put("ns", "key", "theirs")) == Code::not_found);
        CHECK(code_of(store.erase("ns", "key")) == Code::not_found);
        CHECK(code_of(store.clear("ns")) == Code::not_found);
    };
    foreign(*new_life);
    CHECK(value_of(*old_life, "ns", "key") == "old");

    // Erasing for a life that has nothing here harms nobody, and erasing the right one makes room.
    REQUIRE(erase_life(bed, "phoenix", "third"));
    CHECK(value_of(*old_life, "ns", "key") == "old");
    REQUIRE(erase_life(bed, "phoenix", "first"));
    REQUIRE(erase_life(bed, "phoenix", "first"));
    CHECK(count_schemas("phoenix") == "0");

    // A straggler of the old life makes nothing any more, whether or not it has used the schema before.
    CHECK(code_of(old_life->put("ns", "key", "late")) == Code::not_found);
    CHECK(code_of(open_life(bed, "phoenix", "first")->put("ns", "key", "late")) == Code::not_found);
    CHECK(count_schemas("phoenix") == "0");
    CHECK_FALSE(value_of(*old_life, "ns", "key"));

    CHECK(version_after(new_life->put("ns", "key", "new")) == 1);
    foreign(*old_life);
    REQUIRE(erase_life(bed, "phoenix", "first"));
    CHECK(value_of(*new_life, "ns", "key") == "new");
    REQUIRE(erase_life(bed, "phoenix", "second"));
}

TEST_CASE_FIXTURE(InPostgres,
                  "property: under racing lives and erasing, nothing of an erased life is left" * k_needs_postgres) {
    for (int round = 0; round < 8; ++round) {
        const std::string uid = "raced" + std::to_string(round);
        std::atomic<int> wrong{0};
        std::latch start(5);
        {
            std::vector<std::jthread> threads;
            for (int t = 0; t < 4; ++t) {
                threads.emplace_back([&, t] {
                    const auto store = open_life(bed, "raced", uid);
                    start.arrive_and_wait();
                    for (int i = 0; i < 20; ++i) {
                        const std::optional<Code> code = code_of(store->put("ns", std::to_string(t), "v"));
                        wrong += !code || code == Code::not_found || code == Code::busy ? 0 : 1;
                    }
                });
            }
            start.arrive_and_wait();
            while (!erase_life(bed, "raced", uid)) {
            }
        }
        CHECK(wrong == 0);
        const auto store = open_life(bed, "raced", uid);
        CHECK_FALSE(value_of(*store, "ns", "0"));
        CHECK(code_of(store->put("ns", "0", "v")) == Code::not_found);
        CHECK(count_schemas("raced") == "0");
    }
}

TEST_CASE_FIXTURE(InPostgres,
                  "racing first writes of eight threads, each with a store of its own, all arrive" * k_needs_postgres) {
    for (int round = 0; round < 5; ++round) {
        const std::string tenant = "fresh" + std::to_string(round);
        std::vector<std::unique_ptr<Store>> stores;
        for (int t = 0; t < 8; ++t) {
            stores.push_back(bed.open(tenant));
        }
        std::latch start(8);
        std::atomic<int> failed{0};
        {
            std::vector<std::jthread> threads;
            for (int t = 0; t < 8; ++t) {
                threads.emplace_back([&, t] {
                    start.arrive_and_wait();
                    failed += stores[static_cast<std::size_t>(t)]->put("ns", std::to_string(t), "v") ? 0 : 1;
                });
            }
        }
        CHECK(failed == 0);
        CHECK(stores[0]->list("ns", "", "", 100)->entries.size() == 8);
        check_books(tenant);
    }
}

TEST_CASE_FIXTURE(InPostgres,
                  "property: under eight threads the quota is exact, and so are the books" * k_needs_postgres) {
    constexpr std::int64_t k_max_bytes = 1000;
    std::vector<std::unique_ptr<Store>> stores;
    for (int t = 0; t < 8; ++t) {
        stores.push_back(bed.open("quota", k_max_bytes));
    }
    std::atomic<int> put{0};
    std::atomic<int> wrong{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 8; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < 40; ++i) {  // 320 entries of 10 bytes: 100 of them fit
                    const std::string key = std::to_string(1000 + t * 40 + i);
                    const std::optional<Code> code =
                        code_of(stores[static_cast<std::size_t>(t)]->put("n", key, "12345"));
                    put += code ? 0 : 1;
                    wrong += !code || code == Code::storage_full ? 0 : 1;
                }
            });
        }
    }
    CHECK(wrong == 0);
    CHECK(put == k_max_bytes / 10);
    CHECK(bytes_of(*stores[0]) == k_max_bytes);
    check_books("quota");
}

TEST_CASE_FIXTURE(InPostgres,
                  "property: where there is room for two entries, eight threads never have three" * k_needs_postgres) {
    const auto store = bed.open("narrow", 20);
    std::atomic<int> inside{0};
    std::atomic<int> got_in{0};
    std::atomic<int> wrong{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 8; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < 100; ++i) {
                    const std::string key = std::to_string(1000 + t);
                    const std::optional<Code> code = code_of(store->put("n", key, "12345"));
                    if (!code) {
                        wrong += ++inside <= 2 ? 0 : 1;
                        wrong += store->list("n", "", "", 10)->entries.size() <= 2 ? 0 : 1;
                        ++got_in;
                        --inside;
                        wrong += store->erase("n", key) ? 0 : 1;
                    } else {
                        wrong += code == Code::storage_full ? 0 : 1;
                    }
                }
            });
        }
    }
    CHECK(wrong == 0);
    CHECK(got_in > 0);
    CHECK(bytes_of(*store) == 0);
    check_books("narrow");
}

TEST_CASE_FIXTURE(InPostgres, "expired rows are swept by later writes, and only so many at once" * k_needs_postgres) {
    const auto store = bed.open("swept");
    for (int i = 0; i < 600; ++i) {
        REQUIRE(store->put("ns", std::to_string(i), "v", {.ttl = 10ms}));
    }
    bed.clock().advance(10ms);
    CHECK(bytes_of(*store) == 0);
    REQUIRE(store->put("ns", "new", "v"));
    CHECK(ask("SELECT count(*) FROM tenant_swept.kv") == std::to_string(601 - 256));
    CHECK_FALSE(*store->erase("ns", "absent"));
    REQUIRE(store->clear("other"));
    CHECK(ask("SELECT count(*) FROM tenant_swept.kv") == "1");
    CHECK(ask("SELECT bytes FROM tenant_swept.life") == "6");
}

TEST_CASE_FIXTURE(InPostgres, "a schema written by a newer program is refused, and left as it is" * k_needs_postgres) {
    REQUIRE(bed.open("newer")->put("ns", "k", "v"));
    REQUIRE(ask("UPDATE tenant_newer.schema_parts SET version = 99").empty());
    CHECK(code_of(bed.open("newer")->put("ns", "k", "w")) == Code::version_mismatch);
    CHECK(ask("SELECT encode(value, 'escape') FROM tenant_newer.kv") == "v");
}

TEST_CASE_FIXTURE(InPostgres, "a large value passes through" * k_needs_postgres) {
    const auto store = bed.open("large", 64'000'000);
    std::string value(16'000'000, '\0');
    for (std::size_t i = 0; i < value.size(); ++i) {
        value[i] = static_cast<char>((i * 2654435761U) >> 13U);
    }
    REQUIRE(store->put("ns", "key", value));
    CHECK(value_of(*store, "ns", "key") == value);
}

TEST_CASE_FIXTURE(InPostgres,
                  "while the server is away: unavailable quickly, with a time to wait; afterwards all is there" *
                      k_needs_postgres) {
    PrivatePostgres server;
    mt::postgres::PoolOptions options;
    options.url = server.url();
    const mt::SystemClock clock;
    mt::Log log(mt::LogLevel::off);
    mt::postgres::Pool pool(options, clock, log);
    StoreParams params = bed.params("away", 1'000'000);
    params.postgres = &pool;
    const auto store = *mt::open_store("postgres", params);
    REQUIRE(store->put("ns", "key", "value"));
    server.kill();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 100; ++i) {
        const auto got = store->get("ns", "key");
        const auto put = store->put("ns", "key", "other");
        REQUIRE_FALSE(got);
        REQUIRE_FALSE(put);
        CHECK(got.error().code == Code::unavailable);
        CHECK(put.error().code == Code::unavailable);
        CHECK(put.error().retry_after);
    }
    CHECK(code_of(store->list("ns", "", "", 1)) == Code::unavailable);
    CHECK(code_of(store->erase("ns", "key")) == Code::unavailable);
    CHECK(code_of(store->clear("ns")) == Code::unavailable);
    CHECK(code_of(store->bytes_used()) == Code::unavailable);
    CHECK(code_of(mt::erase_store("postgres", params)) == Code::unavailable);
    CHECK(std::chrono::steady_clock::now() - start < 1s);
    server.start();
    const auto restarted = std::chrono::steady_clock::now();
    bool back = false;
    while (!back && std::chrono::steady_clock::now() - restarted < 5s) {
        back = store->get("ns", "key").has_value();
        std::this_thread::yield();
    }
    CHECK(back);
    CHECK(value_of(*store, "ns", "key") == "value");
    CHECK(version_after(store->put("ns", "key", "other")) == 2);
}
