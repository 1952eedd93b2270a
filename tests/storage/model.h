#pragma once

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "storage/store.h"

namespace mt::test {

/// What a Store promises for one tenant, written down as plainly as possible: every entry in one ordered map. Time is
/// told at each call, in milliseconds.
class NaiveStore {
  public:
    explicit NaiveStore(std::int64_t max_bytes) : m_max_bytes(max_bytes) {}

    void set_now(std::int64_t now_ms) {
        m_now = now_ms;
        std::erase_if(m_entries, [&](const auto& pair) { return pair.second.expires_ms <= m_now; });
    }
    void set_max_bytes(std::int64_t max_bytes) { m_max_bytes = max_bytes; }

    Result<std::int64_t> put(const std::string& ns, const std::string& key, const std::string& value,
                             const PutOptions& options) {
        const auto old = m_entries.find({ns, key});
        const bool exists = old != m_entries.end();
        const std::int64_t version = exists ? old->second.version : 0;
        if (options.if_version && *options.if_version != version) {
            return Error{Code::conflict, ""};
        }
        const std::int64_t growth =
            std::ssize(value) - (exists ? std::ssize(old->second.value) : -std::ssize(ns) - std::ssize(key));
        if (growth > 0 && bytes() + growth > m_max_bytes) {
            return Error{Code::storage_full, ""};
        }
        m_entries[{ns, key}] = {value, version + 1, options.ttl ? m_now + options.ttl->count() : k_never};
        return version + 1;
    }

    std::optional<Entry> get(const std::string& ns, const std::string& key) const {
        const auto entry = m_entries.find({ns, key});
        return entry == m_entries.end() ? std::nullopt
                                        : std::optional(Entry{key, entry->second.value, entry->second.version});
    }

    Page list(const std::string& ns, const std::string& prefix, const std::string& cursor, std::int64_t limit) const {
        Page page;
        for (const auto& [place, item] : m_entries) {
            if (place.first != ns || !place.second.starts_with(prefix) || (!cursor.empty() && place.second <= cursor)) {
                continue;
            }
            if (std::ssize(page.entries) == limit) {
                page.cursor = page.entries.back().key;
                break;
            }
            page.entries.push_back({place.second, item.value, item.version});
        }
        return page;
    }

    bool erase(const std::string& ns, const std::string& key) { return m_entries.erase({ns, key}) > 0; }
    void clear(const std::string& ns) {
        std::erase_if(m_entries, [&](const auto& pair) { return pair.first.first == ns; });
    }
    [[nodiscard]] std::int64_t bytes() const {
        std::int64_t sum = 0;
        for (const auto& [place, item] : m_entries) {
            sum += std::ssize(place.first) + std::ssize(place.second) + std::ssize(item.value);
        }
        return sum;
    }

  private:
    static constexpr std::int64_t k_never = std::numeric_limits<std::int64_t>::max();
    struct Item {
        std::string value;
        std::int64_t version;
        std::int64_t expires_ms;
    };

    std::int64_t m_now = 0;
    std::int64_t m_max_bytes;
    std::map<std::pair<std::string, std::string>, Item> m_entries;
};

}  // namespace mt::test
