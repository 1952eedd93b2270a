#pragma once

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "sqlite/tenant_files.h"
#include "storage/servers.h"
#include "storage/store.h"
#include "support/fake_clock.h"
#include "support/needs.h"
#include "support/temp_folder.h"

// What every Store promises (storage/store.h), checked through the interface alone. A backend joins by its word in
// k_store_types.
namespace mt::test {

constexpr std::array<std::string_view, 4> k_store_types{"memory", "sqlite", "redis", "postgres"};

/// A folder of tenants and stores of one type over it. Its tenants have lives of their own; servers outlive it, so it
/// erases what was stored there.
class StoreBed {
  public:
    explicit StoreBed(std::string_view type)
        : m_type(type),
          m_redis(type == "redis" ? &shared_redis().pool : nullptr),
          m_postgres(type == "postgres" ? &shared_postgres().pool : nullptr),
          m_files(m_folder.path(), {}) {
        static std::atomic<int> lives{0};
        m_uid = "life" + std::to_string(++lives);
    }
    StoreBed(const StoreBed&) = delete;
    StoreBed& operator=(const StoreBed&) = delete;
    ~StoreBed() {
        for (const std::string& tenant : m_tenants) {
            CHECK(erase_store(m_type, params(tenant)));
        }
    }

    /// False, with a message, where the server of a type is not installed.
    static bool can_have(std::string_view type) {
        if (type == "redis" && !PrivateRedis::is_installed()) {
            MESSAGE("SKIPPED: redis-server is not installed");
            return false;
        }
        if (type == "postgres" && !PrivatePostgres::is_installed()) {
            MESSAGE("SKIPPED: PostgreSQL is not installed");
            return false;
        }
        return true;
    }

    StoreParams params(const std::string& tenant, std::int64_t max_bytes = 1'000'000) {
        StoreParams params{tenant, max_bytes, m_clock, m_files, m_uid + tenant};
        params.redis = m_redis;
        params.postgres = m_postgres;
        return params;
    }

    std::unique_ptr<Store> open(const std::string& tenant, std::int64_t max_bytes = 1'000'000) {
        REQUIRE(m_files.create(tenant));
        m_tenants.push_back(tenant);
        Result<std::unique_ptr<Store>> store = open_store(m_type, params(tenant, max_bytes));
        REQUIRE(store);
        return *std::move(store);
    }

    FakeClock& clock() { return m_clock; }
    TenantFiles& files() { return m_files; }
    [[nodiscard]] const std::filesystem::path& folder() const { return m_folder.path(); }

  private:
    std::string_view m_type;
    redis::Pool* m_redis;  // both made by the test's own thread: a server ends with the thread that started it
    postgres::Pool* m_postgres;
    std::string m_uid;
    TempFolder m_folder;
    FakeClock m_clock;
    TenantFiles m_files;
    std::vector<std::string> m_tenants;
};

/// The code of a failed Result, nothing of a good one.
template <class T>
std::optional<Code> code_of(const Result<T>& result) {
    return result ? std::nullopt : std::optional(result.error().code);
}

inline std::optional<std::string> value_of(Store& store, std::string_view ns, std::string_view key) {
    const Result<std::optional<Entry>> entry = store.get(ns, key);
    REQUIRE(entry);
    return *entry ? std::optional((*entry)->value) : std::nullopt;
}

inline std::int64_t version_after(Result<std::int64_t> put) {
    REQUIRE(put);
    return *put;
}

inline std::int64_t bytes_of(Store& store) {
    const Result<std::int64_t> bytes = store.bytes_used();
    REQUIRE(bytes);
    return *bytes;
}

inline void check_put_get_erase(StoreBed& bed) {
    const auto store = bed.open("one");
    CHECK_FALSE(value_of(*store, "ns", "key"));
    CHECK(version_after(store->put("ns", "key", "value")) == 1);
    CHECK(version_after(store->put("ns", "key", "other")) == 2);
    CHECK(version_after(store->put("ns2", "key", "apart")) == 1);
    const Result<std::optional<Entry>> entry = store->get("ns", "key");
    REQUIRE(entry);
    REQUIRE(*entry);
    CHECK((*entry)->key == "key");
    CHECK((*entry)->value == "other");
    CHECK((*entry)->version == 2);
    CHECK(*store->erase("ns", "key"));
    CHECK_FALSE(*store->erase("ns", "key"));
    CHECK_FALSE(value_of(*store, "ns", "key"));
    CHECK(version_after(store->put("ns", "key", "again")) == 1);
    REQUIRE(store->clear("ns"));
    REQUIRE(store->clear("never used"));
    CHECK_FALSE(value_of(*store, "ns", "key"));
    CHECK(value_of(*store, "ns2", "key") == "apart");
    CHECK(bytes_of(*store) == 11);
}

inline void check_any_bytes(StoreBed& bed) {
    const auto store = bed.open("one");
    const std::string odd("\0\xff'\"\n\0", 6);
    REQUIRE(store->put(odd, odd, odd));
    REQUIRE(store->put(odd, odd + '\0', ""));
    CHECK(value_of(*store, odd, odd) == odd);
    CHECK(value_of(*store, odd, odd + '\0') == "");
    CHECK_FALSE(value_of(*store, odd, odd.substr(0, 1)));
    CHECK(bytes_of(*store) == 6 * 5 + 1);
    const std::string large(300'000, '\xee');
    REQUIRE(store->put("large", "key", large));
    CHECK(value_of(*store, "large", "key") == large);
}

inline void check_bad_input(StoreBed& bed) {
    const auto store = bed.open("one");
    const std::string key(513, 'k');
    const std::string ns(129, 'n');
    CHECK(version_after(store->put(ns.substr(1), key.substr(1), "")) == 1);
    CHECK(code_of(store->put("ns", "", "v")) == Code::invalid);
    CHECK(code_of(store->put("ns", key, "v")) == Code::invalid);
    CHECK(code_of(store->put("", "k", "v")) == Code::invalid);
    CHECK(code_of(store->put(ns, "k", "v")) == Code::invalid);
    CHECK(code_of(store->put("ns", "k", "v", {.ttl = std::chrono::milliseconds{0}})) == Code::invalid);
    CHECK(code_of(store->get("ns", "")) == Code::invalid);
    CHECK(code_of(store->get(ns, "k")) == Code::invalid);
    CHECK(code_of(store->erase("ns", key)) == Code::invalid);
    CHECK(code_of(store->clear("")) == Code::invalid);
    CHECK(code_of(store->list("", "", "", 10)) == Code::invalid);
    CHECK(code_of(store->list("ns", "", "", 0)) == Code::invalid);
    CHECK(code_of(store->list("ns", "", "", 1001)) == Code::invalid);
    CHECK(store->list("ns", key, key, 1000));
}

inline void check_versions(StoreBed& bed) {
    const auto store = bed.open("one");
    CHECK(code_of(store->put("ns", "k", "v", {.if_version = 1})) == Code::conflict);
    CHECK(version_after(store->put("ns", "k", "v1", {.if_version = 0})) == 1);
    CHECK(code_of(store->put("ns", "k", "v2", {.if_version = 0})) == Code::conflict);
    CHECK(version_after(store->put("ns", "k", "v2", {.if_version = 1})) == 2);
    CHECK(code_of(store->put("ns", "k", "v3", {.if_version = 1})) == Code::conflict);
    CHECK(value_of(*store, "ns", "k") == "v2");
    REQUIRE(store->put("ns", "k", "v3", {.ttl = std::chrono::milliseconds{10}}));
    bed.clock().advance(std::chrono::milliseconds{10});
    CHECK(code_of(store->put("ns", "k", "v4", {.if_version = 3})) == Code::conflict);
    CHECK(version_after(store->put("ns", "k", "v4", {.if_version = 0})) == 1);
}

inline void check_expiry(StoreBed& bed) {
    const auto store = bed.open("one");
    REQUIRE(store->put("ns", "kept", "1"));
    REQUIRE(store->put("ns", "long", "1", {.ttl = std::chrono::milliseconds::max()}));
    REQUIRE(store->put("ns", "short", "12345", {.ttl = std::chrono::milliseconds{100}}));
    bed.clock().advance(std::chrono::milliseconds{99});
    CHECK(value_of(*store, "ns", "short") == "12345");
    CHECK(bytes_of(*store) == 7 + 7 + 12);
    bed.clock().advance(std::chrono::milliseconds{1});
    CHECK(bytes_of(*store) == 14);
    CHECK_FALSE(value_of(*store, "ns", "short"));
    CHECK((*store->list("ns", "", "", 10)).entries.size() == 2);
    CHECK_FALSE(*store->erase("ns", "short"));

    // A put without a time to live lifts the old one.
    REQUIRE(store->put("ns", "kept", "2", {.ttl = std::chrono::milliseconds{100}}));
    REQUIRE(store->put("ns", "kept", "3"));
    bed.clock().advance(std::chrono::hours{1});
    CHECK(value_of(*store, "ns", "kept") == "3");
    CHECK(value_of(*store, "ns", "long") == "1");

    for (int i = 0; i < 1500; ++i) {  // more than one put could sweep away
        REQUIRE(store->put("many", std::to_string(i), "x", {.ttl = std::chrono::milliseconds{50}}));
    }
    bed.clock().advance(std::chrono::milliseconds{50});
    CHECK(bytes_of(*store) == 14);
    CHECK_FALSE(*store->erase("many", "999"));
    store->set_max_bytes(22);  // what has expired takes no room, were it not swept yet
    CHECK(version_after(store->put("many", "998", "x")) == 1);
    CHECK(bytes_of(*store) == 22);
    REQUIRE(store->clear("many"));
    CHECK(bytes_of(*store) == 14);
}

inline void check_quota_kept(StoreBed& bed) {
    const auto store = bed.open("one", 100);
    REQUIRE(store->put("n", "a", std::string(48, 'x')));
    REQUIRE(store->put("n", "b", std::string(48, 'x')));
    CHECK(bytes_of(*store) == 100);
    CHECK(code_of(store->put("n", "c", "")) == Code::storage_full);
    CHECK(code_of(store->put("n", "a", std::string(49, 'y'))) == Code::storage_full);
    CHECK(value_of(*store, "n", "a") == std::string(48, 'x'));
    CHECK(version_after(store->put("n", "a", std::string(48, 'y'))) == 2);

    store->set_max_bytes(10);
    CHECK(code_of(store->put("n", "a", std::string(49, 'z'))) == Code::storage_full);
    CHECK(version_after(store->put("n", "a", std::string(40, 'z'))) == 3);
    CHECK(value_of(*store, "n", "b") == std::string(48, 'x'));
    CHECK(*store->erase("n", "b"));
    CHECK(bytes_of(*store) == 42);
    store->set_max_bytes(45);
    CHECK(version_after(store->put("n", "d", "1", {.ttl = std::chrono::milliseconds{5}})) == 1);
    CHECK(code_of(store->put("n", "e", "1")) == Code::storage_full);
    bed.clock().advance(std::chrono::milliseconds{5});
    CHECK(version_after(store->put("n", "e", "1")) == 1);
}

/// Adds one to the entry "count", trying again while others are faster; false on any other error.
inline bool count_up(Store& store) {
    while (true) {
        const Result<std::optional<Entry>> entry = store.get("ns", "count");
        const std::int64_t version = entry && *entry ? (*entry)->version : 0;
        const auto put = store.put("ns", "count", std::to_string(version + 1), {.if_version = version});
        if (put || put.error().code != Code::conflict) {
            return put.has_value();
        }
    }
}

inline void check_threads(StoreBed& bed) {
    constexpr int k_rounds = 100;
    const auto store = bed.open("one");
    std::atomic<int> failed{0};
    {
        std::vector<std::jthread> threads;
        threads.reserve(4);
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&] {
                for (int i = 0; i < k_rounds; ++i) {
                    failed += count_up(*store) ? 0 : 1;
                }
            });
        }
    }
    CHECK(failed == 0);
    CHECK(value_of(*store, "ns", "count") == std::to_string(4 * k_rounds));
}

}  // namespace mt::test
