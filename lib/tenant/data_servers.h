#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "catalog/catalog.h"
#include "config/tenant_config.h"
#include "storage/store.h"

namespace mt {

/// The Redis and PostgreSQL servers that tenants' data may lie on, by shard. Whoever wires the parts has them.
/// Thread-safe; what is returned lives as long as this.
class DataServers {
  public:
    DataServers() = default;
    DataServers(const DataServers&) = delete;
    DataServers& operator=(const DataServers&) = delete;
    virtual ~DataServers() = default;

    /// Of a shard, or of REDIS_URL where the name is empty; null: none is configured.
    virtual redis::Pool* redis(std::string_view shard) = 0;
    /// Of a shard, or of POSTGRES_URL where the name is empty; null: none is configured.
    virtual postgres::Pool* postgres(std::string_view shard) = 0;
    virtual std::vector<redis::Pool*> all_redis() = 0;
    virtual std::vector<postgres::Pool*> all_postgres() = 0;
};

/// What tenants' stores are opened with. `servers`: null where there are none. References must outlive the stores.
struct StorePlaces {
    const Clock& clock;
    TenantFiles& files;
    DataServers* servers = nullptr;
};

/// Opens a tenant's store where its settings say. Errors: as open_store.
Result<std::unique_ptr<Store>> open_tenant_store(const TenantRecord& record, const TenantConfig& config,
                                                 const StorePlaces& places);

/// True when both settings name the same place, so that a store may live on.
bool is_same_place(const TenantConfig& a, const TenantConfig& b);

/// Erases what a removed tenant's life has stored on any server, also on one that it has left, and in Redis databases
/// that its history names. Errors: unavailable (a server is away: to be tried again), config (its shard is not
/// configured any more), what the catalog says.
Result<void> erase_tenant_data(const TenantRecord& record, const TenantConfig& config, Catalog& catalog,
                               const StorePlaces& places);

}  // namespace mt
