#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <utility>

#include "storage/backends.h"
#include "storage/rules.h"

namespace mt {
namespace {

// Everything in ordered maps under one mutex. What has expired is dropped at the start of each call, so that the rest
// need not think of it.
class MemoryStore final : public Store {
  public:
    explicit MemoryStore(const StoreParams& params) : m_clock(params.clock), m_max_bytes(params.max_bytes) {}

    Result<std::int64_t> put(std::string_view ns, std::string_view key, std::string_view value,
                             const PutOptions& options) override {
        if (Result<void> valid = check_put(ns, key, options); !valid) {
            return std::move(valid).error();
        }
        const std::scoped_lock lock(m_mutex);
        const WallTime now = drop_expired();
        const std::int64_t bytes = entry_bytes(ns, key, value);
        const std::optional<Replaced> old = replaced(ns, key);
        Result<std::int64_t> version = next_version(old, options);
        if (!version) {
            return version;
        }
        if (Result<void> fits = check_quota(old, bytes, m_used, m_max_bytes); !fits) {
            return std::move(fits).error();
        }
        drop(ns, key);
        const std::optional<std::int64_t> expiry = expiry_ms(options, now);
        if (expiry) {
            m_expiries.emplace(*expiry, ns, key);
        }
        m_namespaces[std::string(ns)].emplace(key, Item{std::string(value), *version, expiry});
        m_used += bytes;
        return version;
    }

    Result<std::optional<Entry>> get(std::string_view ns, std::string_view key) override {
        if (Result<void> valid = check_key(ns, key); !valid) {
            return std::move(valid).error();
        }
        const std::scoped_lock lock(m_mutex);
        drop_expired();
        const Item* item = find(ns, key);
        return item == nullptr ? std::nullopt : std::optional(Entry{std::string(key), item->value, item->version});
    }

    Result<Page> list(std::string_view ns, std::string_view prefix, std::string_view cursor,
                      std::int64_t limit) override {
        if (Result<void> valid = check_page(ns, limit); !valid) {
            return std::move(valid).error();
        }
        const std::scoped_lock lock(m_mutex);
        drop_expired();
        Page page;
        const auto items = m_namespaces.find(ns);
        if (items == m_namespaces.end()) {
            return page;
        }
        const KeyRange range = range_of(prefix, cursor);
        auto item = items->second.lower_bound(range.first);
        const auto in_range = [&] { return item != items->second.end() && item->first < range.end; };
        for (; in_range() && std::ssize(page.entries) < limit; ++item) {
            page.entries.push_back({item->first, item->second.value, item->second.version});
        }
        if (in_range()) {
            page.cursor = page.entries.back().key;
        }
        return page;
    }

    Result<Page> list_back(std::string_view ns, std::string_view before, std::int64_t limit) override {
        if (Result<void> valid = check_page(ns, limit); !valid) {
            return std::move(valid).error();
        }
        const std::scoped_lock lock(m_mutex);
        drop_expired();
        BackPage page(limit);
        const auto items = m_namespaces.find(ns);
        if (items == m_namespaces.end()) {
            return page.take();
        }
        auto item = items->second.lower_bound(end_before(before));
        while (item != items->second.begin()) {
            --item;
            const auto& [key, stored] = *item;
            if (!page.add({key, stored.value, stored.version}, entry_bytes(ns, key, stored.value))) {
                break;
            }
        }
        return page.take();
    }

    Result<bool> erase(std::string_view ns, std::string_view key) override {
        if (Result<void> valid = check_key(ns, key); !valid) {
            return std::move(valid).error();
        }
        const std::scoped_lock lock(m_mutex);
        drop_expired();
        return drop(ns, key);
    }

    Result<void> clear(std::string_view ns) override {
        if (Result<void> valid = check_namespace(ns); !valid) {
            return valid;
        }
        const std::scoped_lock lock(m_mutex);
        const auto items = m_namespaces.find(ns);
        if (items == m_namespaces.end()) {
            return {};
        }
        for (const auto& [key, item] : items->second) {
            m_used -= entry_bytes(ns, key, item.value);
            forget_expiry(ns, key, item);
        }
        m_namespaces.erase(items);
        return {};
    }

    Result<std::int64_t> bytes_used() override {
        const std::scoped_lock lock(m_mutex);
        drop_expired();
        return m_used;
    }

    void set_max_bytes(std::int64_t max_bytes) override {
        const std::scoped_lock lock(m_mutex);
        m_max_bytes = max_bytes;
    }

  private:
    struct Item {
        std::string value;
        std::int64_t version;
        std::optional<std::int64_t> expiry_ms;
    };
    using Items = std::map<std::string, Item, std::less<>>;

    const Item* find(std::string_view ns, std::string_view key) const {
        const auto items = m_namespaces.find(ns);
        if (items == m_namespaces.end()) {
            return nullptr;
        }
        const auto item = items->second.find(key);
        return item == items->second.end() ? nullptr : &item->second;
    }

    [[nodiscard]] std::optional<Replaced> replaced(std::string_view ns, std::string_view key) const {
        const Item* item = find(ns, key);
        return item == nullptr ? std::nullopt
                               : std::optional(Replaced{item->version, entry_bytes(ns, key, item->value)});
    }

    bool drop(std::string_view ns, std::string_view key) {
        const auto items = m_namespaces.find(ns);
        if (items == m_namespaces.end()) {
            return false;
        }
        const auto item = items->second.find(key);
        if (item == items->second.end()) {
            return false;
        }
        m_used -= entry_bytes(ns, key, item->second.value);
        forget_expiry(ns, key, item->second);
        items->second.erase(item);
        if (items->second.empty()) {
            m_namespaces.erase(items);
        }
        return true;
    }

    void forget_expiry(std::string_view ns, std::string_view key, const Item& item) {
        if (item.expiry_ms) {
            m_expiries.erase({*item.expiry_ms, std::string(ns), std::string(key)});
        }
    }

    WallTime drop_expired() {
        const WallTime now = m_clock.wall();
        while (!m_expiries.empty() && std::get<0>(*m_expiries.begin()) <= now.time_since_epoch().count()) {
            const auto [expiry, ns, key] = *m_expiries.begin();
            drop(ns, key);
        }
        return now;
    }

    const Clock& m_clock;
    std::mutex m_mutex;
    std::int64_t m_max_bytes;
    std::int64_t m_used = 0;
    std::map<std::string, Items, std::less<>> m_namespaces;                   // none is empty
    std::set<std::tuple<std::int64_t, std::string, std::string>> m_expiries;  // time in ms, namespace, key
};

}  // namespace

Result<std::unique_ptr<Store>> open_memory_store(const StoreParams& params) {
    return std::unique_ptr<Store>(std::make_unique<MemoryStore>(params));
}

}  // namespace mt
