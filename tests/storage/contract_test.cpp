#include "storage/contract.h"

#include <algorithm>
#include <random>
#include <set>

#include "storage/model.h"

using namespace mt::test;
using mt::Code;
using mt::Entry;
using mt::Page;
using mt::PutOptions;
using mt::Result;
using mt::Store;

namespace {

struct Promise {
    const char* name;
    void (*check)(StoreBed& bed);
};

constexpr std::array<Promise, 7> k_promises{{
    {"put, get, erase and clear", check_put_get_erase},
    {"any bytes in namespaces, keys and values", check_any_bytes},
    {"bad input is invalid", check_bad_input},
    {"versions and conflicts", check_versions},
    {"expired entries are neither seen nor counted", check_expiry},
    {"the quota", check_quota_kept},
    {"threads", check_threads},
}};

bool same(const Entry& a, const Entry& b) {
    return a.key == b.key && a.value == b.value && a.version == b.version;
}

bool same(const Page& a, const Page& b) {
    return a.cursor == b.cursor && std::equal(a.entries.begin(), a.entries.end(), b.entries.begin(), b.entries.end(),
                                              [](const Entry& x, const Entry& y) { return same(x, y); });
}

// A store and what it must answer.
struct Pair {
    std::string tenant;
    std::unique_ptr<Store> store;
    NaiveStore naive;
};

// One random operation on a store and its model; the keys are the same for every tenant, the values tell it.
class RandomOperations {
  public:
    RandomOperations(StoreBed& bed, std::uint64_t seed) : m_bed(bed), m_random(seed) {
        for (const std::string tenant : {"one", "two"}) {
            m_pairs.push_back({tenant, bed.open(tenant, k_max_bytes), NaiveStore(k_max_bytes)});
        }
    }

    bool step() {
        m_bed.clock().advance(std::chrono::milliseconds{pick(3)});
        Pair& pair = m_pairs[static_cast<std::size_t>(pick(2))];
        pair.naive.set_now(m_bed.clock().wall().time_since_epoch().count());
        const std::string ns = pick(3) == 0 ? "b" : "a";
        const std::string key = pick_key();
        const std::int64_t kind = pick(1000);
        const bool right = kind < 450   ? put(pair, ns, key)
                           : kind < 800 ? get(pair, ns, key)
                           : kind < 900 ? *pair.store->erase(ns, key) == pair.naive.erase(ns, key)
                           : kind < 995 ? list(pair, ns, key)
                                        : change(pair, ns);
        return right && *pair.store->bytes_used() == pair.naive.bytes();
    }

    [[nodiscard]] std::int64_t puts() const { return m_puts; }
    [[nodiscard]] std::int64_t hits() const { return m_hits; }
    [[nodiscard]] std::int64_t refused() const { return m_refused; }

  private:
    static constexpr std::int64_t k_max_bytes = 3000;

    std::int64_t pick(std::int64_t below) {
        return static_cast<std::int64_t>(m_random() % static_cast<std::uint64_t>(below));
    }
    std::string pick_key() {
        constexpr std::string_view k_bytes(
            "\0\x01"
            "a\x7f\x80\xff",
            6);
        std::string key(1, k_bytes[static_cast<std::size_t>(pick(6))]);
        while (key.size() < 3 && pick(3) != 0) {
            key += k_bytes[static_cast<std::size_t>(pick(6))];
        }
        return key;
    }

    bool put(Pair& pair, const std::string& ns, const std::string& key) {
        PutOptions options;
        if (pick(3) == 0) {
            options.ttl = std::chrono::milliseconds{1 + pick(300)};
        }
        if (pick(4) == 0) {
            options.if_version = pick(3);
        }
        const std::string value = pair.tenant + std::string(static_cast<std::size_t>(pick(100)), '\xfe');
        const Result<std::int64_t> wanted = pair.naive.put(ns, key, value, options);
        const Result<std::int64_t> put = pair.store->put(ns, key, value, options);
        (wanted ? m_puts : m_refused) += 1;
        return wanted ? put && *put == *wanted : code_of(put) == wanted.error().code;
    }

    bool get(Pair& pair, const std::string& ns, const std::string& key) {
        const std::optional<Entry> wanted = pair.naive.get(ns, key);
        const Result<std::optional<Entry>> entry = pair.store->get(ns, key);
        m_hits += wanted ? 1 : 0;
        return entry && entry->has_value() == wanted.has_value() && (!wanted || same(**entry, *wanted));
    }

    bool list(Pair& pair, const std::string& ns, const std::string& cursor) {
        const std::string prefix = pick(2) == 0 ? "" : pick_key().substr(0, 1);
        const std::string from = pick(2) == 0 ? "" : cursor;
        const std::int64_t limit = 1 + pick(40);
        const Result<Page> page = pair.store->list(ns, prefix, from, limit);
        return page && same(*page, pair.naive.list(ns, prefix, from, limit));
    }

    bool change(Pair& pair, const std::string& ns) {
        if (pick(2) == 0) {
            pair.naive.clear(ns);
            return pair.store->clear(ns).has_value();
        }
        const std::int64_t max_bytes = k_max_bytes / 2 + pick(k_max_bytes);
        pair.naive.set_max_bytes(max_bytes);
        pair.store->set_max_bytes(max_bytes);
        return true;
    }

    StoreBed& m_bed;
    std::mt19937_64 m_random;
    std::vector<Pair> m_pairs;
    std::int64_t m_puts = 0;
    std::int64_t m_hits = 0;
    std::int64_t m_refused = 0;
};

std::string random_key(std::mt19937_64& random) {
    std::string key(1 + random() % 4, '\0');
    for (char& byte : key) {
        byte = static_cast<char>(random() % 3 == 0 ? random() % 256 : (random() % 2 == 0 ? 0 : 255));
    }
    return key;
}

std::vector<std::string> all_pages(Store& store, const std::string& prefix, std::int64_t limit) {
    std::vector<std::string> keys;
    std::string cursor;
    do {
        const Result<Page> page = store.list("ns", prefix, cursor, limit);
        REQUIRE(page);
        REQUIRE(std::ssize(page->entries) <= limit);
        REQUIRE((page->cursor.empty() || std::ssize(page->entries) == limit));
        for (const Entry& entry : page->entries) {
            keys.push_back(entry.key);
        }
        cursor = page->cursor;
        REQUIRE(keys.size() <= 1000);
    } while (!cursor.empty());
    return keys;
}

}  // namespace

TEST_CASE("every backend keeps every promise") {
    for (const std::string_view type : k_store_types) {
        if (!StoreBed::can_have(type)) {
            continue;
        }
        for (const Promise& promise : k_promises) {
            INFO(std::string(type), ": ", std::string(promise.name));
            StoreBed bed(type);
            promise.check(bed);
        }
    }
}

TEST_CASE("pages cover binary keys in byte order, each once, for any prefix and page size") {
    for (const std::string_view type : k_store_types) {
        if (!StoreBed::can_have(type)) {
            continue;
        }
        CAPTURE(std::string(type));
        StoreBed bed(type);
        const auto store = bed.open("one");
        std::mt19937_64 random(31);
        std::set<std::string> keys;
        for (int i = 0; i < 300; ++i) {
            const std::string key = random_key(random);
            keys.insert(key);
            REQUIRE(store->put("ns", key, "v"));
            REQUIRE(store->put("ns\xff", key + "x", "v"));
        }
        const std::string top(512, '\xff');
        keys.insert(top);
        REQUIRE(store->put("ns", top, "v"));
        const std::vector<std::string> prefixes{"", "\xff", "\xff\xff", std::string(1, '\0'), "absent", top};
        for (const std::string& prefix : prefixes) {
            std::vector<std::string> wanted;
            std::copy_if(keys.begin(), keys.end(), std::back_inserter(wanted),
                         [&](const std::string& key) { return key.starts_with(prefix); });
            for (const std::int64_t limit : {1, 2, 7, 1000}) {
                REQUIRE(all_pages(*store, prefix, limit) == wanted);
            }
            if (!wanted.empty()) {
                REQUIRE(all_pages(*store, prefix, std::ssize(wanted)) == wanted);
            }
        }
    }
}

TEST_CASE("property: two tenants with the same keys never read each other, over 100,000 random operations") {
    constexpr int k_steps = 100'000;
    for (const std::string_view type : k_store_types) {
        if (!StoreBed::can_have(type)) {
            continue;
        }
        CAPTURE(std::string(type));
        StoreBed bed(type);
        RandomOperations operations(bed, 32);
        bool right = true;
        for (int i = 0; i < k_steps && right; ++i) {
            right = operations.step();
            if (!right) {
                FAIL("operation ", i);
            }
        }
        CHECK(right);
        CHECK(operations.puts() > 15'000);
        CHECK(operations.hits() > 5'000);
        CHECK(operations.refused() > 5'000);
    }
}

TEST_CASE("an unknown type is a mistake of the configuration, with the known ones") {
    StoreBed bed("memory");
    const auto store = mt::open_store("sqlit", {"one", 1, bed.clock(), bed.files()});
    REQUIRE_FALSE(store);
    CHECK(store.error().code == Code::config);
    CHECK(store.error().message ==
          "unknown storage type 'sqlit' (did you mean 'sqlite'?): use one of memory, sqlite, redis, postgres");
}
