#include "cache/answer_cache.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "support/fake_clock.h"

using mt::AnswerCache;
using mt::CacheSettings;
using mt::test::FakeClock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

namespace {

// What the cache promises, written down as plainly as possible: a list in the order of use, latest last.
class NaiveCache {
  public:
    explicit NaiveCache(const CacheSettings& settings) : m_settings(settings) {}

    void advance(nanoseconds by) { m_now += by; }

    std::optional<std::string> get(const std::string& key) {
        const auto item = find(key);
        if (item == m_items.end()) {
            return std::nullopt;
        }
        Item used = *item;
        m_items.erase(item);
        if (m_now - used.stored >= m_settings.ttl) {
            return std::nullopt;
        }
        m_items.push_back(used);
        return used.value;
    }

    void put(const std::string& key, const std::string& value) {
        const auto old = find(key);
        if (old != m_items.end()) {
            m_items.erase(old);
        }
        const auto size = static_cast<std::int64_t>(key.size() + value.size());
        if (size <= m_settings.max_bytes && m_settings.ttl.count() > 0) {
            m_items.push_back({key, value, m_now});
        }
        shrink();
    }

    void clear() { m_items.clear(); }

    void resize(const CacheSettings& settings) {
        const milliseconds shorter = std::min(settings.ttl, m_settings.ttl);
        m_settings = settings;
        std::erase_if(m_items, [&](const Item& item) { return m_now - item.stored >= shorter; });
        shrink();
    }

    [[nodiscard]] std::int64_t entries() const { return std::ssize(m_items); }
    [[nodiscard]] std::int64_t bytes() const {
        std::int64_t sum = 0;
        for (const Item& item : m_items) {
            sum += static_cast<std::int64_t>(item.key.size() + item.value.size());
        }
        return sum;
    }

  private:
    struct Item {
        std::string key;
        std::string value;
        nanoseconds stored;
    };

    std::deque<Item>::iterator find(const std::string& key) {
        return std::find_if(m_items.begin(), m_items.end(), [&](const Item& item) { return item.key == key; });
    }
    void shrink() {
        while (!m_items.empty() && (entries() > m_settings.max_entries || bytes() > m_settings.max_bytes)) {
            m_items.pop_front();
        }
    }

    CacheSettings m_settings;
    nanoseconds m_now{0};
    std::deque<Item> m_items;
};

CacheSettings settings(std::int64_t entries, std::int64_t bytes = 1'000'000, milliseconds ttl = seconds{10}) {
    return {.max_entries = entries, .max_bytes = bytes, .ttl = ttl};
}

}  // namespace

TEST_CASE("the least recently used answer goes first and a get is a use") {
    const FakeClock clock;
    AnswerCache cache(settings(2), clock);
    cache.put("a", "1");
    cache.put("b", "2");
    CHECK(cache.get("a") == "1");
    cache.put("c", "3");
    CHECK_FALSE(cache.get("b"));
    CHECK(cache.get("a") == "1");
    CHECK(cache.get("c") == "3");
    cache.put("a", "4");
    CHECK(cache.get("a") == "4");
    CHECK(cache.entries() == 2);
    cache.clear();
    CHECK(cache.entries() == 0);
    CHECK(cache.bytes() == 0);
    CHECK_FALSE(cache.get("a"));
}

TEST_CASE("an answer is fresh for less than its time to live, counted from its put") {
    FakeClock clock;
    AnswerCache cache(settings(10), clock);
    cache.put("a", "1");
    clock.advance(seconds{10} - nanoseconds{1});
    CHECK(cache.get("a"));
    clock.step_wall(std::chrono::hours{-5});
    clock.advance(nanoseconds{1});
    CHECK_FALSE(cache.get("a"));
    CHECK(cache.entries() == 0);
    CHECK(cache.bytes() == 0);
}

TEST_CASE("bytes are bounded by keys and values together") {
    const FakeClock clock;
    AnswerCache cache(settings(10, 10), clock);
    cache.put("abc", "1234567");
    CHECK(cache.bytes() == 10);
    cache.put("d", "1");
    CHECK_FALSE(cache.get("abc"));
    CHECK(cache.bytes() == 2);
    cache.put("e", std::string(10, 'x'));
    CHECK_FALSE(cache.get("e"));
    CHECK(cache.get("d") == "1");
    cache.put("d", std::string(10, 'x'));
    CHECK_FALSE(cache.get("d"));
    CHECK(cache.bytes() == 0);
    cache.put("", "");
    CHECK(cache.get("") == "");
}

TEST_CASE("nothing is kept without entries, bytes or time") {
    const FakeClock clock;
    for (const CacheSettings& none : {settings(0), settings(10, 0), settings(10, 100, milliseconds{0})}) {
        AnswerCache cache(none, clock);
        cache.put("a", "1");
        CHECK_FALSE(cache.get("a"));
        CHECK(cache.entries() == 0);
        CHECK(cache.bytes() == 0);
    }
}

TEST_CASE("new bounds apply at once") {
    FakeClock clock;
    AnswerCache cache(settings(10), clock);
    for (const std::string key : {"a", "b", "c", "d"}) {
        cache.put(key, "12345");
        clock.advance(seconds{1});
    }
    cache.resize(settings(3));
    CHECK(cache.entries() == 3);
    cache.resize(settings(3, 12));
    CHECK(cache.entries() == 2);
    cache.resize(settings(3, 12, milliseconds{1500}));
    CHECK(cache.entries() == 1);
    CHECK(cache.get("d") == "12345");
    clock.advance(seconds{1});
    cache.resize(settings(3, 12, seconds{100}));
    CHECK(cache.entries() == 0);
}

TEST_CASE("property: 200,000 random operations end as the naive model says") {
    std::mt19937_64 random(21);
    const auto pick = [&](std::uint64_t n) { return static_cast<std::int64_t>(random() % n); };
    FakeClock clock;
    CacheSettings now = settings(20, 500, milliseconds{400});
    AnswerCache cache(now, clock);
    NaiveCache naive(now);
    std::int64_t hits = 0;
    for (int i = 0; i < 200'000; ++i) {
        const std::string key = std::to_string(pick(40));
        const std::int64_t kind = pick(1000);
        if (kind < 500) {
            const auto value = cache.get(key);
            REQUIRE(value == naive.get(key));
            hits += value ? 1 : 0;
        } else if (kind < 980) {
            const std::string value(static_cast<std::size_t>(pick(pick(50) == 0 ? 700 : 40)),
                                    static_cast<char>(pick(256)));
            cache.put(key, value);
            naive.put(key, value);
        } else if (kind < 998) {
            now = settings(pick(30), pick(1000), milliseconds{pick(800)});
            cache.resize(now);
            naive.resize(now);
        } else {
            cache.clear();
            naive.clear();
        }
        const nanoseconds step{pick(20'000'000)};
        clock.advance(step);
        naive.advance(step);
        REQUIRE(cache.entries() == naive.entries());
        REQUIRE(cache.bytes() == naive.bytes());
    }
    CHECK(hits > 10'000);
}

TEST_CASE("threads see whole answers and the bounds hold") {
    const FakeClock clock;
    AnswerCache cache(settings(50, 2000), clock);
    std::atomic<int> wrong{0};
    {
        std::vector<std::jthread> threads;
        for (unsigned t = 0; t < 8; ++t) {
            threads.emplace_back([&, t] {
                std::mt19937 random(t);
                for (int i = 0; i < 5000; ++i) {
                    const std::string key = std::to_string(random() % 100);
                    if (random() % 2 == 0) {
                        cache.put(key, key + ":" + std::string(random() % 60, 'x'));
                    } else if (const auto value = cache.get(key); value && !value->starts_with(key + ":")) {
                        ++wrong;
                    }
                    if (i % 1000 == 0) {
                        cache.resize(settings(50, 2000));
                    }
                    if (cache.entries() > 50 || cache.bytes() > 2000) {
                        ++wrong;
                    }
                }
            });
        }
    }
    CHECK(wrong.load() == 0);
    CHECK(cache.entries() > 0);
}
