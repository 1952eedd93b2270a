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

}  // namespace mt
