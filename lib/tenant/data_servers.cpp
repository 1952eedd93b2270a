#include "tenant/data_servers.h"

#include <set>

#include "redis/pool.h"

namespace mt {
namespace {

int database_of(const TenantConfig& config, const redis::Pool* pool) {
    if (config.redis_db >= 0) {
        return static_cast<int>(config.redis_db);
    }
    return pool == nullptr ? 0 : pool->default_database();
}

StoreParams store_params(const TenantRecord& record, const TenantConfig& config, const StorePlaces& places) {
    StoreParams params{record.id, config.max_storage, places.clock, places.files};
    params.uid = record.uid;
    return params;
}

}  // namespace

Result<std::unique_ptr<Store>> open_tenant_store(const TenantRecord& record, const TenantConfig& config,
                                                 const StorePlaces& places) {
    StoreParams params = store_params(record, config, places);
    if (places.servers != nullptr) {
        params.redis = places.servers->redis(config.shard);
        params.redis_database = database_of(config, params.redis);
        params.postgres = places.servers->postgres(config.shard);
    }
    return open_store(config.storage_type, params);
}

bool is_same_place(const TenantConfig& a, const TenantConfig& b) {
    return a.storage_type == b.storage_type && a.shard == b.shard && a.redis_db == b.redis_db;
}

Result<void> erase_tenant_data(const TenantRecord& record, const TenantConfig& config, const StorePlaces& places) {
    if (places.servers == nullptr) {
        return {};
    }
    StoreParams params = store_params(record, config, places);
    for (redis::Pool* pool : places.servers->all_redis()) {
        params.redis = pool;
        for (const int database : std::set<int>{pool->default_database(), database_of(config, pool)}) {
            params.redis_database = database;
            if (Result<void> erased = erase_store("redis", params); !erased) {
                return erased;
            }
        }
    }
    for (postgres::Pool* pool : places.servers->all_postgres()) {
        params.postgres = pool;
        if (Result<void> erased = erase_store("postgres", params); !erased) {
            return erased;
        }
    }
    return {};
}

}  // namespace mt
