#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace mt {

class TenantFiles;

namespace redis {
class Pool;
}
namespace postgres {
class Pool;
}

/// A stored value. Versions start at 1 with each creation of a key and grow by 1 with each put.
struct Entry {
    std::string key;
    std::string value;
    std::int64_t version = 0;
};

/// A part of a listing in byte order of the keys; `cursor` continues it and is empty at the end.
struct Page {
    std::vector<Entry> entries;
    std::string cursor;
};

struct PutOptions {
    std::optional<std::chrono::milliseconds> ttl{};  ///< absent: kept for ever
    std::optional<std::int64_t> if_version{};        ///< put only over this version; 0: only when the key is absent
};

/// Keys and values of ONE tenant, in namespaces. Keys and values are any bytes; a key is 1 to 512 bytes, a namespace
/// 1 to 128. Expired entries are never seen and are not counted. Thread-safe.
///
/// Every method: unavailable when the backend is away, busy when it stayed locked, invalid for a bad key, page size or
/// time to live, not_found when the tenant's file is gone.
class Store {
  public:
    Store() = default;
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;
    virtual ~Store() = default;

    /// Returns the new version. Errors: conflict (if_version does not match), storage_full (max_bytes would be passed
    /// or the disk is full; nothing is changed).
    virtual Result<std::int64_t> put(std::string_view ns, std::string_view key, std::string_view value,
                                     const PutOptions& options = {}) = 0;
    virtual Result<std::optional<Entry>> get(std::string_view ns, std::string_view key) = 0;
    /// Entries whose keys start with `prefix`, after `cursor`, at most `limit` (1 to 1000).
    virtual Result<Page> list(std::string_view ns, std::string_view prefix, std::string_view cursor,
                              std::int64_t limit) = 0;
    /// Entries whose keys come before `before` (empty: all), the last key first, at most `limit` (1 to 1000), and no
    /// more once they come to a mebibyte, as bytes_used() counts them. `cursor` is the next `before`; a page may be
    /// shorter than both bounds allow.
    virtual Result<Page> list_back(std::string_view ns, std::string_view before, std::int64_t limit) = 0;
    /// True when there was something to erase.
    virtual Result<bool> erase(std::string_view ns, std::string_view key) = 0;
    /// Erases a whole namespace.
    virtual Result<void> clear(std::string_view ns) = 0;
    /// Sum of the lengths of namespace, key and value over all entries.
    virtual Result<std::int64_t> bytes_used() = 0;
    /// Changes the quota; entries over a smaller one stay readable and erasable.
    virtual void set_max_bytes(std::int64_t max_bytes) = 0;
    /// Whether each call waits for a server of its own, which may be slow.
    [[nodiscard]] virtual bool is_remote() const { return false; }
};

/// What a store is opened with. References and pointers must outlive the store.
struct StoreParams {
    std::string tenant;
    std::int64_t max_bytes = 0;
    const Clock& clock;
    TenantFiles& files;
    std::string uid{};                   ///< of the tenant's life: a new life never sees what an old one left
    redis::Pool* redis = nullptr;        ///< where the tenant's shard is; null: none is configured
    int redis_database = 0;              ///< number in that Redis
    postgres::Pool* postgres = nullptr;  ///< where the tenant's shard is; null: none is configured
};

/// Opens the store of one tenant, without asking any server. `type`: "memory", "sqlite", "redis" or "postgres". Errors:
/// config (unknown type, with the known ones; no server is configured for it), and what the backend says.
Result<std::unique_ptr<Store>> open_store(std::string_view type, const StoreParams& params);

/// Erases whatever a tenant's life has stored with a type, for a tenant that is removed. Also where nothing is left. A
/// store that is still open finds nothing any more; what it puts is not found by others. Errors: unavailable.
Result<void> erase_store(std::string_view type, const StoreParams& params);

}  // namespace mt
