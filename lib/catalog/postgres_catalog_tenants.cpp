#include <algorithm>
#include <utility>

#include "base/ids.h"
#include "catalog/postgres_catalog.h"

namespace mt {
namespace {

// What a row that was looked for means to a caller who needs it.
Result<TenantRecord> found_or(std::string_view id, Result<std::optional<TenantRecord>> record) {
    if (!record) {
        return std::move(record).error();
    }
    return *record ? Result<TenantRecord>(**std::move(record)) : Result<TenantRecord>(rules::no_tenant(id));
}

Result<TenantRecord> live_or(std::string_view id, Result<std::optional<TenantRecord>> record) {
    Result<TenantRecord> found = found_or(id, std::move(record));
    return found && !rules::can_change(*found) ? Result<TenantRecord>(rules::no_tenant(id)) : found;
}

// Why a name could not be claimed.
Error taken(PostgresRegistry& registry, std::string_view id) {
    Result<TenantRecord> former = found_or(id, registry.find(id));
    if (!former) {
        return std::move(former).error();
    }
    Result<void> vacant = rules::check_vacant(id, former->status);
    return vacant ? Error{Code::busy, "the name was given back just now: try again"} : std::move(vacant).error();
}

}  // namespace

Result<TenantRecord> PostgresCatalog::lock_live(PostgresRegistry& registry, std::string_view id) {
    return live_or(id, registry.lock(id));
}

// In two statements: one that waits for a row sees the rest as it was before the wait.
Result<TenantRecord> PostgresCatalog::lock_whole(PostgresRegistry& registry, std::string_view id) {
    Result<TenantRecord> locked = lock_live(registry, id);
    return locked ? found_or(id, registry.whole(id)) : locked;
}

Result<TenantRecord> PostgresCatalog::create_tenant(std::string_view id, const Settings& own,
                                                    const SettingsCheck& check, std::string_view who) {
    if (Result<void> valid = check_tenant_id(id); !valid) {
        return std::move(valid).error();
    }
    if (Result<void> valid = check(own); !valid) {
        return std::move(valid).error();
    }
    return change([&](PostgresRegistry& registry) -> Result<TenantRecord> {
        const rules::Actor by = actor(who);
        TenantRecord record = rules::new_life(id, own, by.at);
        Result<std::optional<std::int64_t>> generation = registry.claim(record);
        if (!generation || !*generation) {
            return generation ? taken(registry, id) : std::move(generation).error();
        }
        record.generation = **generation;
        const SettingChanges all(own.begin(), own.end());
        if (Result<void> written = registry.put_settings(record, all, by); !written) {
            return std::move(written).error();
        }
        if (const std::vector<std::string> ids = rules::configured_keys(own); !ids.empty()) {
            if (Result<void> written = registry.put_configured_keys(id, ids); !written) {
                return std::move(written).error();
            }
        }
        Result<void> published = registry.publish(record, {rules::added(record, by)});
        return published ? Result<TenantRecord>(std::move(record)) : Result<TenantRecord>(std::move(published).error());
    });
}

Result<TenantRecord> PostgresCatalog::tenant(std::string_view id) {
    Result<TenantRecord> record = found_or(id, view([&](PostgresRegistry& registry) { return registry.whole(id); }));
    const bool gone = record && record->status == TenantStatus::removed;
    return gone ? Result<TenantRecord>(rules::no_tenant(id)) : record;
}

Result<TenantRecord> PostgresCatalog::row(std::string_view id) {
    return found_or(id, view([&](PostgresRegistry& registry) { return registry.find(id); }));
}

Result<std::vector<TenantRecord>> PostgresCatalog::tenants(std::string_view cursor, std::int64_t limit) {
    return view([&](PostgresRegistry& registry) { return registry.list(cursor, limit); });
}

Result<std::vector<TenantRecord>> PostgresCatalog::removing() {
    return view([](PostgresRegistry& registry) { return registry.removing(); });
}

Result<std::vector<std::string>> PostgresCatalog::open_tenants(std::int64_t limit) {
    return view([&](PostgresRegistry& registry) { return registry.open_tenants(limit); });
}

Result<TenantRecord> PostgresCatalog::update_tenant(std::string_view id, const SettingChanges& changes,
                                                    const SettingsCheck& check, std::string_view who) {
    return change([&](PostgresRegistry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = lock_whole(registry, id);
        if (!record) {
            return record;
        }
        const rules::Actor by = actor(who);
        Result<rules::SettingsUpdate> update = rules::change_settings(*record, changes, check, by);
        if (!update) {
            return std::move(update).error();
        }
        if (update->different.empty()) {
            return record;
        }
        if (Result<void> written = registry.put_settings(*record, update->different, by); !written) {
            return std::move(written).error();
        }
        if (update->different.contains("key_hashes")) {
            Result<void> written = registry.put_configured_keys(id, rules::configured_keys(record->own));
            if (!written) {
                return std::move(written).error();
            }
        }
        Result<void> published = registry.publish(*record, update->events);
        return published ? record : Result<TenantRecord>(std::move(published).error());
    });
}

Result<TenantRecord> PostgresCatalog::set_suspended(std::string_view id, bool suspended, std::string_view who) {
    return change([&](PostgresRegistry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = lock_live(registry, id);
        std::optional<AuditEvent> event = record ? rules::suspend(*record, suspended, actor(who)) : std::nullopt;
        if (!event) {
            return record;
        }
        Result<void> published = registry.publish(*record, {*std::move(event)});
        return published ? record : Result<TenantRecord>(std::move(published).error());
    });
}

Result<void> PostgresCatalog::begin_removal(std::string_view id, std::string_view who) {
    return change([&](PostgresRegistry& registry) -> Result<void> {
        Result<TenantRecord> record = lock_live(registry, id);
        if (!record) {
            return std::move(record).error();
        }
        const AuditEvent event = rules::mark_removing(*record, actor(who));
        return registry.publish(*record, {event});
    });
}

Result<void> PostgresCatalog::finish_removal(std::string_view id, std::string_view uid) {
    return change([&](PostgresRegistry& registry) -> Result<void> {
        Result<TenantRecord> record = found_or(id, registry.lock(id));
        if (!record) {
            return std::move(record).error();
        }
        if (record->status != TenantStatus::removing || record->uid != uid) {
            return {};  // somebody else was faster
        }
        if (Result<void> erased = registry.erase(id); !erased) {
            return erased;
        }
        record->status = TenantStatus::removed;
        return registry.publish(*record, {});
    });
}

}  // namespace mt
