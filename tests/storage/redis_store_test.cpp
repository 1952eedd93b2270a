#include <random>
#include <set>

#include "storage/contract.h"
#include "storage/model.h"

using namespace mt::test;
using namespace std::chrono_literals;
using mt::Code;
using mt::Result;
using mt::Store;
using mt::StoreParams;
using mt::redis::Command;

namespace {

struct InRedis {
    StoreBed bed{"redis"};
};

// For cases that break their Redis.
struct InOwnRedis : InRedis {
    StoreParams here(const std::string& tenant, std::int64_t max_bytes = 1'000'000) {
        StoreParams params = bed.params(tenant, max_bytes);
        params.redis = &redis.pool;
        return params;
    }

    RedisServer redis;
};

std::int64_t keys_in(RedisServer& redis, const std::string& pattern) {
    const Result<mt::redis::Reply> keys = redis.pool.run(0, Command{"KEYS", pattern});
    REQUIRE(keys);
    return std::ssize(keys->list);
}

// What stands in Redis of a life, added up from the entries themselves.
std::int64_t stored_bytes(RedisServer& redis, const std::string& tenant) {
    std::int64_t bytes = 0;
    const std::string prefix = "mtagent:{" + tenant + "}:*:kv:v:";
    const Result<mt::redis::Reply> keys = redis.pool.run(0, Command{"KEYS", prefix + "*"});
    REQUIRE(keys);
    for (const mt::redis::Reply& key : keys->list) {
        const std::int64_t ns = std::ssize(key.text) - static_cast<std::int64_t>(key.text.find(":kv:v:")) - 6;
        const Result<mt::redis::Reply> all = redis.pool.run(0, Command{"HGETALL", key.text});
        REQUIRE(all);
        for (std::size_t i = 0; i < all->list.size(); i += 2) {
            const std::string& packed = all->list[i + 1].text;
            const std::size_t start = packed.find(':', packed.find(':') + 1) + 1;
            bytes += ns + std::ssize(all->list[i].text) + std::ssize(packed) - static_cast<std::int64_t>(start);
        }
    }
    return bytes;
}

bool is_away(const std::optional<mt::Error>& error) {
    return error && error->code == Code::unavailable && error->retry_after;
}

template <class T>
std::optional<mt::Error> error_of(const Result<T>& result) {
    return result ? std::nullopt : std::optional(result.error());
}

}  // namespace

TEST_CASE("redis: without a server it is a mistake of the configuration") {
    StoreBed bed("memory");
    const StoreParams params = bed.params("one");
    const auto store = mt::open_store("redis", params);
    CHECK(code_of(store) == Code::config);
    CHECK(store.error().message == "storage_type redis needs REDIS_URL");
    CHECK(code_of(mt::erase_store("redis", params)) == Code::config);
}

TEST_CASE_FIXTURE(InRedis,
                  "redis: every key stands under the tenant's life, and ids that share 47 characters never meet" *
                      k_needs_redis) {
    const std::string stem(47, 'a');
    std::vector<std::unique_ptr<Store>> stores;
    const std::vector<std::string> ids{stem + "a", stem + "b", stem};
    for (const std::string& id : ids) {
        stores.push_back(bed.open(id));
        REQUIRE(stores.back()->put("ns", "key", id));
        REQUIRE(stores.back()->put("ns", "short", id, {.ttl = 1h}));
    }
    for (std::size_t i = 0; i < ids.size(); ++i) {
        CHECK(value_of(*stores[i], "ns", "key") == ids[i]);
        CHECK((*stores[i]->list("ns", "", "", 10)).entries.size() == 2);
        CHECK(keys_in(shared_redis(), "*{" + ids[i] + "}*") == 4);
        CHECK(keys_in(shared_redis(), "mtagent:{" + ids[i] + "}:" + bed.params(ids[i]).uid + ":kv:*") == 4);
    }
}

TEST_CASE_FIXTURE(
    InRedis, "redis: erasing a tenant leaves its neighbours, its other life and everybody with globs in their names" *
                 k_needs_redis) {
    const std::vector<std::string> tenants{"acme", "acme-1", "acm", "a_b"};
    std::vector<std::unique_ptr<Store>> stores;
    for (const std::string& tenant : tenants) {
        stores.push_back(bed.open(tenant));
        for (const std::string key : {"*", "?", "[a-z]*", "\\", "acme", "{acme}"}) {
            REQUIRE(stores.back()->put("*", key, tenant));
            REQUIRE(stores.back()->put("{acme}:", key, tenant, {.ttl = 1h}));
        }
    }
    StoreParams other = bed.params("acme");
    other.uid += "0";
    const auto reborn = *mt::open_store("redis", other);
    CHECK(bytes_of(*reborn) == 0);
    CHECK_FALSE(value_of(*reborn, "*", "acme"));
    REQUIRE(reborn->put("*", "acme", "new life"));

    StoreParams globbed = bed.params("acme");
    globbed.uid = "*";
    CHECK(mt::erase_store("redis", globbed));
    CHECK(value_of(*stores[0], "*", "acme") == "acme");

    REQUIRE(mt::erase_store("redis", bed.params("acme")));
    REQUIRE(mt::erase_store("redis", bed.params("acme")));
    CHECK(keys_in(shared_redis(), "mtagent:{acme}:" + bed.params("acme").uid + ":*") == 0);
    CHECK_FALSE(value_of(*stores[0], "*", "acme"));
    CHECK(bytes_of(*stores[0]) == 0);
    CHECK(value_of(*reborn, "*", "acme") == "new life");
    for (std::size_t i = 1; i < tenants.size(); ++i) {
        CHECK((*stores[i]->list("*", "", "", 100)).entries.size() == 6);
        CHECK((*stores[i]->list("{acme}:", "", "", 100)).entries.size() == 6);
        CHECK(value_of(*stores[i], "*", "*") == tenants[i]);
    }
}

TEST_CASE_FIXTURE(InRedis, "redis: a tenant in a database of its own" * k_needs_redis) {
    StoreParams params = bed.params("one");
    const auto first = *mt::open_store("redis", params);
    params.redis_database = 3;
    const auto second = *mt::open_store("redis", params);
    REQUIRE(first->put("ns", "key", "nought"));
    REQUIRE(second->put("ns", "key", "three"));
    CHECK(value_of(*first, "ns", "key") == "nought");
    CHECK(value_of(*second, "ns", "key") == "three");
    REQUIRE(mt::erase_store("redis", params));
    CHECK_FALSE(value_of(*second, "ns", "key"));
    CHECK(value_of(*first, "ns", "key") == "nought");
}

TEST_CASE_FIXTURE(InRedis, "redis: the quota is exact under many threads and stores" * k_needs_redis) {
    constexpr std::int64_t k_max_bytes = 1000;
    bed.open("quota");
    std::atomic<int> stored{0};
    std::atomic<int> strange{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 8; ++t) {
            threads.emplace_back([&, t] {
                const auto store = *mt::open_store("redis", bed.params("quota", k_max_bytes));
                for (int i = 0; i < 40; ++i) {
                    const auto put = store->put("ns", std::to_string(100 + t * 40 + i), "12345");  // ten bytes
                    stored += put ? 1 : 0;
                    strange += put || put.error().code == Code::storage_full ? 0 : 1;
                }
            });
        }
    }
    CHECK(strange == 0);
    CHECK(stored == k_max_bytes / 10);
    const auto store = bed.open("quota");
    CHECK(bytes_of(*store) == k_max_bytes);
    CHECK(stored_bytes(shared_redis(), "quota") == k_max_bytes);
}

TEST_CASE_FIXTURE(InRedis, "redis property: the books agree with what is stored, and nothing is left when all is gone" *
                               k_needs_redis) {
    const auto store = bed.open("books", 1'000'000);
    NaiveStore naive(1'000'000);
    std::mt19937_64 random(33);
    const auto pick = [&](std::uint64_t below) { return static_cast<std::int64_t>(random() % below); };
    for (int i = 0; i < 6000; ++i) {
        bed.clock().advance(std::chrono::milliseconds{pick(4)});
        naive.set_now(bed.clock().wall().time_since_epoch().count());
        const std::string ns = "n" + std::to_string(pick(4));
        const std::string key = std::to_string(pick(60));
        if (pick(100) < 3) {
            naive.clear(ns);
            REQUIRE(store->clear(ns));
        } else if (pick(10) == 0) {
            REQUIRE(*store->erase(ns, key) == naive.erase(ns, key));
        } else {
            mt::PutOptions options;
            if (pick(4) != 0) {
                options.ttl = std::chrono::milliseconds{1 + pick(200)};
            }
            const std::string value(static_cast<std::size_t>(pick(30)), 'v');
            REQUIRE(store->put(ns, key, value, options));
            REQUIRE(naive.put(ns, key, value, options));
        }
        REQUIRE(bytes_of(*store) == naive.bytes());
    }
    bed.clock().advance(1h);
    for (int i = 0; i < 4; ++i) {
        REQUIRE(store->put("sweep", "it", "x"));  // 256 at a time
    }
    CHECK(stored_bytes(shared_redis(), "books") == bytes_of(*store));
    for (const std::string ns : {"n0", "n1", "n2", "n3", "sweep"}) {
        REQUIRE(store->clear(ns));
    }
    CHECK(keys_in(shared_redis(), "mtagent:{books}:*") == 0);
}

TEST_CASE_FIXTURE(InRedis,
                  "redis: a clock that steps back by an hour makes entries visible and counted again" * k_needs_redis) {
    const auto store = bed.open("stepped");
    REQUIRE(store->put("ns", "short", "12345", {.ttl = 10s}));
    REQUIRE(store->put("ns", "kept", "1"));
    bed.clock().step_wall(1h);
    CHECK(bytes_of(*store) == 7);
    CHECK_FALSE(value_of(*store, "ns", "short"));
    bed.clock().step_wall(-1h);
    CHECK(value_of(*store, "ns", "short") == "12345");
    CHECK(bytes_of(*store) == 19);
    CHECK(*store->erase("ns", "short"));
    CHECK(bytes_of(*store) == 7);
}

TEST_CASE_FIXTURE(InRedis, "redis: pages skip thousands of expired entries and carry megabytes" * k_needs_redis) {
    const auto store = bed.open("pages", 100'000'000);
    const std::string large(1'000'000, 'x');
    for (int i = 0; i < 8; ++i) {
        REQUIRE(store->put("large", std::to_string(i), large));
    }
    const auto page = store->list("large", "", "", 7);
    REQUIRE(page);
    REQUIRE(page->entries.size() == 7);
    CHECK(page->entries[6].value == large);
    CHECK(page->cursor == "6");
    for (int i = 10'000; i < 12'500; ++i) {
        REQUIRE(
            store->put("ns", std::to_string(i), "", {.ttl = 1ms + std::chrono::milliseconds{i < 12'400 ? 0 : 1000}}));
    }
    bed.clock().advance(500ms);
    const auto rest = store->list("ns", "1", "", 99);
    REQUIRE(rest);
    REQUIRE(rest->entries.size() == 99);
    CHECK(rest->entries[0].key == "12400");
    CHECK(rest->cursor == "12498");
}

TEST_CASE_FIXTURE(InOwnRedis, "redis: clearing a large namespace holds nobody up" * k_needs_redis) {
    constexpr int k_entries = 200'000;
    const StoreParams params = here("large", 100'000'000);
    const auto store = *mt::open_store("redis", params);
    REQUIRE(store->put("ns", "0", "v", {.ttl = 1h}));
    // The rest as a put leaves it, without 200,000 round trips.
    const std::string prefix = "mtagent:{large}:" + params.uid + ":kv:";
    const std::string fill = "for i = 1, " + std::to_string(k_entries) +
                             " do redis.call('HSET', KEYS[1], i, '1::v') redis.call('ZADD', KEYS[2], 0, i) end";
    REQUIRE(redis.pool.run(0, Command{"EVAL", fill, "2", prefix + "v:ns", prefix + "k:ns"}));
    const auto start = std::chrono::steady_clock::now();
    REQUIRE(store->clear("ns"));
    CHECK(std::chrono::steady_clock::now() - start < 100ms);
    CHECK(bytes_of(*store) == 0);
    CHECK((*store->list("ns", "", "", 10)).entries.empty());
}

TEST_CASE_FIXTURE(InOwnRedis,
                  "redis: away, everything is unavailable quickly; back, everything is there again" * k_needs_redis) {
    const StoreParams params = here("one");
    const auto store = *mt::open_store("redis", params);
    REQUIRE(store->put("ns", "key", "value"));
    redis.server.kill();
    const auto start = std::chrono::steady_clock::now();
    CHECK(is_away(error_of(store->get("ns", "key"))));
    CHECK(is_away(error_of(store->put("ns", "key", "other"))));
    CHECK(is_away(error_of(store->list("ns", "", "", 10))));
    CHECK(is_away(error_of(store->erase("ns", "key"))));
    CHECK(is_away(error_of(store->clear("ns"))));
    CHECK(is_away(error_of(store->bytes_used())));
    CHECK(is_away(error_of(mt::erase_store("redis", params))));
    CHECK(std::chrono::steady_clock::now() - start < 300ms);
    redis.server.start();
    const auto until = std::chrono::steady_clock::now() + 5s;
    while (!redis.pool.ping() && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    CHECK(version_after(store->put("ns", "key", "again")) == 1);
}

TEST_CASE_FIXTURE(InOwnRedis,
                  "redis: without memory reads, erasing and clearing go on, and a refused put changes nothing" *
                      k_needs_redis) {
    const StoreParams params = here("one");
    const auto store = *mt::open_store("redis", params);
    REQUIRE(store->put("ns", "key", "value"));
    REQUIRE(store->put("ns", "gone", "value"));
    REQUIRE(store->put("other", "key", "value", {.ttl = 1h}));
    REQUIRE(redis.pool.run(0, Command{"CONFIG", "SET", "maxmemory", "1"}));
    bed.clock().advance(1s);
    CHECK(is_away(error_of(store->put("ns", "key", "other"))));
    CHECK(is_away(error_of(store->put("ns", "new", "other", {.ttl = 1h}))));
    CHECK(value_of(*store, "ns", "key") == "value");
    CHECK(bytes_of(*store) == 10 + 11 + 13);
    CHECK(*store->erase("ns", "gone"));
    CHECK_FALSE(*store->erase("ns", "gone"));
    REQUIRE(store->clear("other"));
    REQUIRE(redis.pool.run(0, Command{"CONFIG", "SET", "maxmemory", "0"}));
    CHECK(bytes_of(*store) == 10);
    CHECK(version_after(store->put("ns", "key", "other")) == 2);
}
