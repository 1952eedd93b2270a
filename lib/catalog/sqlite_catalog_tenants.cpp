#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/blocking.h"
#include "base/text.h"
#include "catalog/registry.h"
#include "catalog/sqlite_catalog.h"
#include "catalog/tenant_file.h"
#include "config/tenant_config.h"

namespace mt {
namespace {

std::string text_of(const Settings& settings, std::string_view field, std::string_view otherwise) {
    const auto found = settings.find(field);
    const auto* text = found == settings.end() ? nullptr : std::get_if<std::string>(&found->second);
    return text == nullptr ? std::string(otherwise) : *text;
}

// Ids of the keys that stand in the settings themselves.
std::vector<std::string> configured_keys(const Settings& settings) {
    std::vector<std::string> ids;
    const auto found = settings.find("key_hashes");
    const auto* list = found == settings.end() ? nullptr : std::get_if<std::vector<std::string>>(&found->second);
    for (const std::string& text : list == nullptr ? std::vector<std::string>{} : *list) {
        if (Result<KeyHash> parsed = parse_key_hash(text)) {
            ids.push_back(std::move(parsed->key_id));
        }
    }
    return ids;
}

// Applies changes to settings and returns those that make a difference.
SettingChanges merge(Settings& settings, const SettingChanges& changes) {
    SettingChanges different;
    for (const auto& [field, value] : changes) {
        const auto present = settings.find(field);
        if (value ? present != settings.end() && present->second == *value : present == settings.end()) {
            continue;
        }
        different.emplace(field, value);
        if (value) {
            settings[field] = *value;
        } else {
            settings.erase(present);
        }
    }
    return different;
}

std::string old_text(const Settings& settings, const std::string& field) {
    const auto found = settings.find(field);
    return found == settings.end() ? std::string{} : setting_text(field, found->second);
}

// The plan, and what of its own a new tenant has.
std::string first_settings(const TenantRecord& record) {
    std::string text = record.plan;
    for (const auto& [field, value] : record.own) {
        if (field != "plan") {
            text += fmt::format(", {} = {}", field, setting_text(field, value));
        }
    }
    return text;
}

// Name and plan as listings show them.
void set_shown(TenantRecord& record) {
    record.name = text_of(record.own, "name", record.id);
    record.plan = text_of(record.own, "plan", "basic");
    record.auth = text_of(record.own, "auth", "key");
}

}  // namespace

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
        if (former && former->status == TenantStatus::removing) {
            return Error{Code::busy, fmt::format("tenant {} is still being removed: try again", quote(id))};
        }
        if (former && former->status != TenantStatus::removed) {
            return Error{Code::already_exists, fmt::format("tenant {} exists already", quote(id))};
        }
        TenantRecord record;
        record.id = std::string(id);
        record.uid = random_hex(16);
        record.generation = former ? former->generation + 1 : 1;
        record.created = m_clock.wall();
        record.own = own;
        set_shown(record);
        made_file = true;
        Result<void> written = create_tenant_file(m_files, id, {record.uid, record.generation, record.created, own},
                                                  {record.generation, record.created, who});
        if (!written) {
            return std::move(written).error();
        }
        registry.put(record);
        registry.put_configured_keys(id, configured_keys(own));
        registry.audit({m_clock.wall(), std::string(who), "tenant.add", record.id, "", "", first_settings(record)});
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
        return record ? Result<TenantRecord>(no_tenant(id)) : record;
    }
    if (record->status == TenantStatus::removing) {
        return record;
    }
    Result<FileIdentity> identity = read_tenant_file(m_files, id);
    if (!identity) {
        const bool missing = identity.error().code == Code::not_found;
        return missing ? Error{Code::failed, fmt::format("the file of tenant {} is missing", quote(id))}
                       : std::move(identity).error();
    }
    if (identity->uid != record->uid) {
        return Error{Code::failed, fmt::format("the file of tenant {} is of another life: {} instead of {}", quote(id),
                                               identity->uid, record->uid)};
    }
    record->own = std::move(identity->own);
    record->models = std::move(identity->models);
    if (identity->generation > record->generation) {
        return repair(*std::move(record), identity->generation);
    }
    return record;
}

Result<TenantRecord> SqliteCatalog::update_tenant(std::string_view id, const SettingChanges& changes,
                                                  const SettingsCheck& check, std::string_view who) {
    return change([&](Registry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = live(registry, id);
        if (!record) {
            return record;
        }
        Result<FileIdentity> identity = read_tenant_file(m_files, id);
        if (!identity) {
            return std::move(identity).error();
        }
        Settings merged = identity->own;
        const SettingChanges different = merge(merged, changes);
        record->own = merged;
        record->models = std::move(identity->models);
        if (different.empty()) {
            return record;
        }
        if (Result<void> valid = check(merged); !valid) {
            return std::move(valid).error();
        }
        record->generation = std::max(record->generation, identity->generation) + 1;
        Result<void> written = update_tenant_file(m_files, id, different, {record->generation, m_clock.wall(), who});
        if (!written) {
            return std::move(written).error();
        }
        set_shown(*record);
        registry.put(*record);
        registry.put_configured_keys(id, configured_keys(merged));
        for (const auto& [field, value] : different) {
            registry.audit({m_clock.wall(), std::string(who), "tenant.config", record->id, field,
                            old_text(identity->own, field), value ? setting_text(field, *value) : ""});
        }
        return record;
    });
}

Result<TenantRecord> SqliteCatalog::set_suspended(std::string_view id, bool suspended, std::string_view who) {
    return change([&](Registry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = live(registry, id);
        const TenantStatus wanted = suspended ? TenantStatus::suspended : TenantStatus::active;
        if (!record || record->status == wanted) {
            return record;
        }
        const std::string before(to_string(record->status));
        record->status = wanted;
        registry.put(*record);  // the status lives in the registry alone: the generation of the settings stays
        registry.audit({m_clock.wall(), std::string(who), suspended ? "tenant.suspend" : "tenant.resume", record->id,
                        "status", before, std::string(to_string(wanted))});
        return record;
    });
}

Result<void> SqliteCatalog::begin_removal(std::string_view id, std::string_view who) {
    Result<TenantRecord> done = change([&](Registry& registry) -> Result<TenantRecord> {
        Result<TenantRecord> record = live(registry, id);
        if (!record) {
            return record;
        }
        record->status = TenantStatus::removing;
        record->generation += 1;
        registry.put(*record);
        registry.audit({m_clock.wall(), std::string(who), "tenant.remove", record->id, "", record->plan, ""});
        return record;
    });
    return done ? Result<void>{} : Result<void>{std::move(done).error()};
}

Result<void> SqliteCatalog::finish_removal(std::string_view id) {
    Result<TenantRecord> done = change([&](Registry& registry) -> Result<TenantRecord> {
        std::optional<TenantRecord> record = registry.find(id);
        if (!record || record->status != TenantStatus::removing) {
            return record ? Result<TenantRecord>(*record) : Result<TenantRecord>(no_tenant(id));
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
        set_shown(record);
        if (row->uid == record.uid && row->generation < generation) {
            registry.put(record);
            registry.put_configured_keys(record.id, configured_keys(record.own));
        }
        return {};
    });
    return done ? Result<TenantRecord>(std::move(record)) : Result<TenantRecord>(std::move(done).error());
}

}  // namespace mt
