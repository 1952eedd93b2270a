#pragma once

#include <memory>

#include "base/result.h"
#include "storage/store.h"

namespace mt {

// The factories behind open_store, one for each backend.

/// Keeps everything in this process: gone when the store is.
Result<std::unique_ptr<Store>> open_memory_store(const StoreParams& params);

/// Keeps everything in the tenant's own file. Bounds that file at twice `max_bytes` + 64 MiB, so that a runaway file
/// stops growing while keys, indexes and the other rooms' tables (statistics, configuration) always fit.
Result<std::unique_ptr<Store>> open_sqlite_store(const StoreParams& params);

/// Keeps everything in Redis under "mtagent:{<tenant>}:<uid>:kv:", in the database of the params. Errors: config (no
/// Redis is configured).
Result<std::unique_ptr<Store>> open_redis_store(const StoreParams& params);

/// Erases every key under that prefix, and no other. Errors: config (no Redis is configured), and what the pool says.
Result<void> erase_redis_store(const StoreParams& params);

/// Keeps everything in a schema of the tenant's own, `tenant_<id>`, made at the first write. It belongs to the life
/// that wrote first: stores of another life find nothing and get not_found for what they write, until the schema was
/// erased for the life it belongs to. What a life has stored cannot come back after it was erased.
Result<std::unique_ptr<Store>> open_postgres_store(const StoreParams& params);
/// Drops the schema when it belongs to this life, and notes that the life is over.
Result<void> erase_postgres_store(const StoreParams& params);

}  // namespace mt
