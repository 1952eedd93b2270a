#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/blocking.h"
#include "base/text.h"
#include "catalog/registry.h"
#include "catalog/sqlite_catalog.h"
#include "catalog/tenant_file.h"

namespace mt {

Result<TenantRecord> SqliteCatalog::create_tenant(std::string_view id, const Settings& own, const SettingsCheck& check,
                                                  std::string_view who) {
    if (Result<void> valid = check_tenant_id(id); !valid) {
        return std::move(valid).error();
    }
    if (Result<void> valid = check(own); !valid) {
        return std::move(valid).error();
    }
    bool made_file = false;
    Result<TenantRecord> made = change([&](Registry& registry) -> Result<TenantRecord> {
        const std::optional<TenantRecord> former = registry.find(id);
        if (Result<void> vacant = former ? rules::check_vacant(id, former->status) : Result<void>{}; !vacant) {
            return std::move(vacant).error();
        }
        TenantRecord record = rules::new_life(id, own, m_clock.wall());
        record.generation += former ? former->generation : 0;
        made_file = true;
        Result<void> written = create_tenant_file(m_files, id, {record.uid, record.generation, record.created, own},
                                                  {record.generation, record.created, who});
        if (!written) {
            return std::move(written).error();
        }
        registry.put(record);
        registry.put_configured_keys(id, rules::configured_keys(own));
        registry.audit(rules::added(record, actor(who)));
        return record;
    });
    if (!made && made_file) {
        const Result<void> cleared = m_files.remove(id);
        static_cast<void>(cleared);  // what stays is told by `check` and replaced by the next add
    }
    return made;
}

Result<TenantRecord> SqliteCatalog::tenant(std::string_view id) {
    Result<std::unique_lock<std::mutex>> lock = lock_patiently(m_mutex);
    if (!lock) {
        return std::move(lock).error();
    }
    Result<TenantRecord> record = read_row(id);
    if (!record || record->status == TenantStatus::removed) {
        return record ? Result<TenantRecord>(rules::no_tenant(id)) : record;
    }
    if (record->status != TenantStatus::removing) {
        return read_file(*std::move(record));
    }
    Result<FileIdentity> identity = read_tenant_file(m_files, id);
    if (identity && identity->uid == record->uid) {
        record->own = std::move(identity->own);
        record->models = std::move(identity->models);
    }
    // A file that is gone or damaged does not keep the tenant from going; one that is only busy is read later.
    const bool readable = identity || identity.error().code == Code::not_found || identity.error().code == Code::failed;
    return readable ? record : std::move(identity).error();
}

Result<TenantRecord> SqliteCatalog::read_file(TenantRecord record) {
    Result<FileIdentity> identity = read_tenant_file(m_files, record.id);
    if (!identity) {
        const bool missing = identity.error().code == Code::not_found;
        return missing ? Error{Code::failed, fmt::format("the file of tenant {} is missing", quote(record.id))}
                       : std::move(identity).error();
    }
    if (identity->uid != record.uid) {
        return Error{Code::failed, fmt::format("the file of tenant {} is of another life: {} instead of {}",
                                               quote(record.id), identity->uid, record.uid)};
    }
    record.own = std::move(identity->own);
    record.models = std::move(identity->models);
    if (identity->generation > record.generation) {
        return repair(std::move(record), identity->generation);
    }
    return record;
}

Result<TenantRecord> SqliteCatalog::update_tenant(std::string_view id, const SettingChanges& changes,
                                                  const SettingsCheck& check, std::string_view who) {
    return change([&](Registry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = with_file(registry, id);
        if (!record) {
            return record;
        }
        Result<rules::SettingsUpdate> update = rules::change_settings(*record, changes, check, actor(who));
        if (!update) {
            return std::move(update).error();
        }
        if (update->different.empty()) {
            return record;
        }
        Result<void> written =
            update_tenant_file(m_files, id, update->different, {record->generation, m_clock.wall(), who});
        if (!written) {
            return std::move(written).error();
        }
        registry.put(*record);
        registry.put_configured_keys(id, rules::configured_keys(record->own));
        for (const AuditEvent& event : update->events) {
            registry.audit(event);
        }
        return record;
    });
}

Result<TenantRecord> SqliteCatalog::set_suspended(std::string_view id, bool suspended, std::string_view who) {
    return change([&](Registry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = live(registry, id);
        const std::optional<AuditEvent> event = record ? rules::suspend(*record, suspended, actor(who)) : std::nullopt;
        if (event) {
            registry.put(*record);  // the status lives in the registry alone
            registry.audit(*event);
        }
        return record;
    });
}

Result<void> SqliteCatalog::begin_removal(std::string_view id, std::string_view who) {
    Result<TenantRecord> done = change([&](Registry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = live(registry, id);
        if (record) {
            const AuditEvent event = rules::mark_removing(*record, actor(who));
            registry.put(*record);
            registry.audit(event);
        }
        return record;
    });
    return done ? Result<void>{} : Result<void>{std::move(done).error()};
}

Result<void> SqliteCatalog::finish_removal(std::string_view id, std::string_view uid) {
    Result<TenantRecord> done = change([&](Registry& registry) -> Result<TenantRecord> {
        std::optional<TenantRecord> record = registry.find(id);
        if (!record || record->status != TenantStatus::removing || record->uid != uid) {
            return record ? Result<TenantRecord>(*record) : Result<TenantRecord>(rules::no_tenant(id));
        }
        if (Result<void> removed = m_files.remove(id); !removed) {
            return std::move(removed).error();
        }
        registry.erase_keys(id);
        registry.erase_details(id);
        record->status = TenantStatus::removed;
        registry.put(*record);
        return *record;
    });
    return done ? Result<void>{} : Result<void>{std::move(done).error()};
}

// Brings the row up to the file. The row is read again under the write lock: whoever wrote the file may have
// written the row, or a newer status, in the meantime.
Result<TenantRecord> SqliteCatalog::repair(TenantRecord record, std::int64_t generation) {
    Result<void> done = m_database->transaction([&]() -> Result<void> {
        Registry registry(*m_database);
        Result<TenantRecord> row = live(registry, record.id);
        if (!row) {
            return std::move(row).error();
        }
        record.status = row->status;
        record.generation = std::max(generation, row->generation);
        rules::set_shown(record);
        if (row->uid == record.uid && row->generation < generation) {
            registry.put(record);
            registry.put_configured_keys(record.id, rules::configured_keys(record.own));
        }
        return {};
    });
    return done ? Result<TenantRecord>(std::move(record)) : Result<TenantRecord>(std::move(done).error());
}

}  // namespace mt
