#include "tenant/data_servers.h"

#include <fmt/core.h>

#include <set>
#include <string>

#include "base/units.h"
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

// Numbers of its own databases that a tenant's history names.
Result<std::set<int>> former_databases(Catalog& catalog, const std::string& tenant) {
    constexpr std::int64_t k_most_events = 100'000;
    Result<std::vector<AuditEvent>> events = catalog.history(tenant, k_most_events);
    if (!events) {
        return std::move(events).error();
    }
    std::set<int> databases;
    for (const AuditEvent& event : *events) {
        for (const std::string& text : {event.before, event.after}) {
            const Result<std::int64_t> number = parse_integer(text);
            if (event.subject == "redis_db" && number && *number >= 0) {
                databases.insert(static_cast<int>(*number));
            }
        }
    }
    return databases;
}

struct RedisPlaces {
    redis::Pool* pool;
    const std::set<int>& databases;
};

Result<void> erase_redis(const TenantRecord& record, const TenantConfig& config, const StorePlaces& places,
                         const RedisPlaces& where) {
    StoreParams params = store_params(record, config, places);
    params.redis = where.pool;
    for (const int database : where.databases) {
        params.redis_database = database;
        Result<void> erased = erase_store("redis", params);
        // Redis refuses a database that it does not have, and in which nothing can be.
        const bool absent =
            !erased && erased.error().code == Code::failed && database != where.pool->default_database();
        if (!erased && !absent) {
            return erased;
        }
    }
    return {};
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

Result<void> erase_tenant_data(const TenantRecord& record, const TenantConfig& config, Catalog& catalog,
                               const StorePlaces& places) {
    if (places.servers == nullptr) {
        return {};
    }
    if (!config.shard.empty() && places.servers->redis(config.shard) == nullptr &&
        places.servers->postgres(config.shard) == nullptr) {
        return Error{Code::config, fmt::format("its shard '{}' is not configured any more", config.shard)};
    }
    Result<std::set<int>> databases = former_databases(catalog, record.id);
    if (!databases) {
        return std::move(databases).error();
    }
    for (redis::Pool* pool : places.servers->all_redis()) {
        databases->insert({pool->default_database(), database_of(config, pool)});
        if (Result<void> erased = erase_redis(record, config, places, {pool, *databases}); !erased) {
            return erased;
        }
    }
    StoreParams params = store_params(record, config, places);
    for (postgres::Pool* pool : places.servers->all_postgres()) {
        params.postgres = pool;
        if (Result<void> erased = erase_store("postgres", params); !erased) {
            return erased;
        }
    }
    return {};
}

}  // namespace mt
