#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "storage/store.h"

namespace mt::test {

/// A Store in a map, without expiry: enough for what stands on top of the contract. Thread-safe.
class NaiveStore final : public Store {
  public:
    Result<std::int64_t> put(std::string_view ns, std::string_view key, std::string_view value,
                             const PutOptions& options = {}) override {
        const std::lock_guard lock(m_mutex);
        const auto found = m_entries.find(name(ns, key));
        const std::int64_t version = found == m_entries.end() ? 0 : found->second.version;
        if (options.if_version && *options.if_version != version) {
            return Error{Code::conflict, "another version is stored"};
        }
        const auto size = static_cast<std::int64_t>(ns.size() + key.size() + value.size());
        const std::int64_t before = version == 0 ? 0 : size_of(*found);
        if (used() - before + size > m_max_bytes) {
            return Error{Code::storage_full, "the quota is used up"};
        }
        m_entries[name(ns, key)] = {std::string(key), std::string(value), version + 1};
        return version + 1;
    }

    Result<std::optional<Entry>> get(std::string_view ns, std::string_view key) override {
        const std::lock_guard lock(m_mutex);
        const auto found = m_entries.find(name(ns, key));
        return found == m_entries.end() ? std::optional<Entry>() : std::optional(found->second);
    }

    Result<Page> list(std::string_view ns, std::string_view prefix, std::string_view cursor,
                      std::int64_t limit) override {
        const std::lock_guard lock(m_mutex);
        Page page;
        for (auto at = m_entries.lower_bound(name(ns, cursor.empty() ? prefix : cursor)); at != m_entries.end(); ++at) {
            if (at->first.first != ns || !at->first.second.starts_with(prefix)) {
                break;
            }
            if (at->first.second == cursor) {
                continue;
            }
            if (std::ssize(page.entries) == limit) {
                page.cursor = page.entries.back().key;
                break;
            }
            page.entries.push_back(at->second);
        }
        return page;
    }

    Result<bool> erase(std::string_view ns, std::string_view key) override {
        const std::lock_guard lock(m_mutex);
        return m_entries.erase(name(ns, key)) > 0;
    }

    Result<void> clear(std::string_view ns) override {
        const std::lock_guard lock(m_mutex);
        std::erase_if(m_entries, [ns](const auto& entry) { return entry.first.first == ns; });
        return {};
    }

    Result<std::int64_t> bytes_used() override {
        const std::lock_guard lock(m_mutex);
        return used();
    }

    void set_max_bytes(std::int64_t max_bytes) override {
        const std::lock_guard lock(m_mutex);
        m_max_bytes = max_bytes;
    }

  private:
    using Name = std::pair<std::string, std::string>;

    static Name name(std::string_view ns, std::string_view key) { return {std::string(ns), std::string(key)}; }

    static std::int64_t size_of(const std::pair<const Name, Entry>& entry) {
        return static_cast<std::int64_t>(entry.first.first.size() + entry.first.second.size() +
                                         entry.second.value.size());
    }

    [[nodiscard]] std::int64_t used() const {
        std::int64_t sum = 0;
        for (const auto& entry : m_entries) {
            sum += size_of(entry);
        }
        return sum;
    }

    std::mutex m_mutex;
    std::map<Name, Entry> m_entries;
    std::int64_t m_max_bytes = std::numeric_limits<std::int64_t>::max();
};

}  // namespace mt::test
