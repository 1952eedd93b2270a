#include "cache/answer_cache.h"

#include <iterator>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace mt {

// A list in the order of use, latest first, and an index into it. The index's keys are views of the list's: a list node
// never moves, and leaves the index before it goes.
struct AnswerCache::State {
    struct Item {
        std::string key;
        std::string value;
        std::int64_t stored_ns;

        [[nodiscard]] std::int64_t bytes() const { return std::ssize(key) + std::ssize(value); }
    };
    using Items = std::list<Item>;

    State(const CacheSettings& initial, const Clock& source) : clock(source), settings(initial) {}

    [[nodiscard]] bool is_fresh(const Item& item, std::int64_t now) const {
        return now - item.stored_ns < std::chrono::nanoseconds{settings.ttl}.count();
    }

    void drop(Items::iterator item) {
        used_bytes -= item->bytes();
        index.erase(item->key);
        items.erase(item);
    }

    void drop_stale(std::int64_t now) {
        for (auto item = items.begin(); item != items.end();) {
            const auto next = std::next(item);
            if (!is_fresh(*item, now)) {
                drop(item);
            }
            item = next;
        }
    }

    void drop_past_bounds() {
        while (!items.empty() && (std::ssize(items) > settings.max_entries || used_bytes > settings.max_bytes)) {
            drop(std::prev(items.end()));
        }
    }

    const Clock& clock;
    std::mutex mutex;
    CacheSettings settings;
    Items items;
    std::unordered_map<std::string_view, Items::iterator> index;
    std::int64_t used_bytes = 0;
};

AnswerCache::AnswerCache(const CacheSettings& settings, const Clock& clock)
    : m_state(std::make_unique<State>(settings, clock)) {}

AnswerCache::~AnswerCache() = default;

std::optional<std::string> AnswerCache::get(std::string_view key) {
    const std::scoped_lock lock(m_state->mutex);
    const auto found = m_state->index.find(key);
    if (found == m_state->index.end()) {
        return std::nullopt;
    }
    const auto item = found->second;
    if (!m_state->is_fresh(*item, m_state->clock.boot_ns())) {
        m_state->drop(item);
        return std::nullopt;
    }
    m_state->items.splice(m_state->items.begin(), m_state->items, item);
    return item->value;
}

void AnswerCache::put(std::string_view key, std::string value) {
    const std::scoped_lock lock(m_state->mutex);
    const auto found = m_state->index.find(key);
    if (found != m_state->index.end()) {
        m_state->drop(found->second);
    }
    State::Item item{std::string(key), std::move(value), m_state->clock.boot_ns()};
    const CacheSettings& settings = m_state->settings;
    // Without this an answer that can't stay would push all others out first.
    if (item.bytes() > settings.max_bytes || settings.max_entries <= 0 || settings.ttl.count() <= 0) {
        return;
    }
    m_state->used_bytes += item.bytes();
    m_state->items.push_front(std::move(item));
    m_state->index.emplace(m_state->items.front().key, m_state->items.begin());
    m_state->drop_past_bounds();
}

void AnswerCache::clear() {
    const std::scoped_lock lock(m_state->mutex);
    m_state->index.clear();
    m_state->items.clear();
    m_state->used_bytes = 0;
}

void AnswerCache::resize(const CacheSettings& settings) {
    const std::scoped_lock lock(m_state->mutex);
    const std::int64_t now = m_state->clock.boot_ns();
    m_state->drop_stale(now);  // a longer time to live brings nothing back
    m_state->settings = settings;
    m_state->drop_stale(now);
    m_state->drop_past_bounds();
}

std::int64_t AnswerCache::entries() const {
    const std::scoped_lock lock(m_state->mutex);
    return std::ssize(m_state->items);
}

std::int64_t AnswerCache::bytes() const {
    const std::scoped_lock lock(m_state->mutex);
    return m_state->used_bytes;
}

}  // namespace mt
