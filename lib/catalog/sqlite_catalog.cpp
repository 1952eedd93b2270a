#include <fmt/core.h>

#include <array>
#include <mutex>
#include <utility>

#include "base/blocking.h"
#include "base/text.h"
#include "catalog/catalog.h"
#include "catalog/registry.h"
#include "catalog/registry_schema.h"
#include "catalog/tenant_file.h"
#include "config/tenant_config.h"
#include "sqlite/data_folder.h"
#include "sqlite/database.h"
#include "sqlite/tenant_files.h"

namespace mt {
namespace {

Error no_tenant(std::string_view id) {
    return {Code::not_found, fmt::format("there is no tenant {}", quote(id))};
}

std::string text_of(const Settings& settings, std::string_view field, std::string_view otherwise) {
    const auto found = settings.find(field);
    const auto* text = found == settings.end() ? nullptr : std::get_if<std::string>(&found->second);
    return text == nullptr ? std::string(otherwise) : *text;
}

// Lock order: m_mutex, then the registry's write lock, then a tenant's file. Whoever changes a tenant holds the
// registry's write lock all the time, so that two processes never change the same tenant at once; the file is committed
// first, and a newer generation in it repairs the registry should the process die in between.
class SqliteCatalog final : public Catalog {
  public:
    SqliteCatalog(std::unique_ptr<Database> database, TenantFiles& files, const Clock& clock)
        : m_database(std::move(database)), m_files(files), m_clock(clock) {}

    Result<TenantRecord> create_tenant(std::string_view id, const Settings& own, const SettingsCheck& check,
                                       std::string_view who) override {
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
            registry.audit({m_clock.wall(), std::string(who), "tenant.add", record.id, "", "", record.plan});
            return record;
        });
        if (!made && made_file) {
            const Result<void> cleared = m_files.remove(id);
            static_cast<void>(cleared);  // what stays is told by `check` and replaced by the next add
        }
        return made;
    }

    Result<TenantRecord> tenant(std::string_view id) override {
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
            return Error{Code::failed, fmt::format("the file of tenant {} is of another life: {} instead of {}",
                                                   quote(id), identity->uid, record->uid)};
        }
        record->own = std::move(identity->own);
        if (identity->generation > record->generation) {
            return repair(*std::move(record), identity->generation);
        }
        return record;
    }

    Result<TenantRecord> row(std::string_view id) override {
        Result<std::unique_lock<std::mutex>> lock = lock_patiently(m_mutex);
        if (!lock) {
            return std::move(lock).error();
        }
        return read_row(id);
    }

    Result<std::vector<TenantRecord>> tenants(std::string_view cursor, std::int64_t limit) override {
        std::vector<TenantRecord> records;
        return view(std::move(records), [&](Registry& registry, std::vector<TenantRecord>& found) {
            found = registry.list(cursor, limit);
        });
    }

    Result<std::vector<TenantRecord>> removing() override {
        std::vector<TenantRecord> records;
        return view(std::move(records),
                    [](Registry& registry, std::vector<TenantRecord>& found) { found = registry.removing(); });
    }

    Result<std::vector<std::string>> open_tenants(std::int64_t limit) override {
        std::vector<std::string> ids;
        return view(std::move(ids),
                    [&](Registry& registry, std::vector<std::string>& found) { found = registry.open_tenants(limit); });
    }

    Result<TenantRecord> update_tenant(std::string_view id, const SettingChanges& changes, const SettingsCheck& check,
                                       std::string_view who) override {
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
            if (different.empty()) {
                return record;
            }
            if (Result<void> valid = check(merged); !valid) {
                return std::move(valid).error();
            }
            record->generation = std::max(record->generation, identity->generation) + 1;
            Result<void> written =
                update_tenant_file(m_files, id, different, {record->generation, m_clock.wall(), who});
            if (!written) {
                return std::move(written).error();
            }
            set_shown(*record);
            registry.put(*record);
            for (const auto& [field, value] : different) {
                registry.audit({m_clock.wall(), std::string(who), "tenant.config", record->id, field,
                                old_text(identity->own, field), value ? setting_text(field, *value) : ""});
            }
            return record;
        });
    }

    Result<TenantRecord> set_suspended(std::string_view id, bool suspended, std::string_view who) override {
        return change([&](Registry& registry) -> Result<TenantRecord> {
            Result<TenantRecord> record = live(registry, id);
            const TenantStatus wanted = suspended ? TenantStatus::suspended : TenantStatus::active;
            if (!record || record->status == wanted) {
                return record;
            }
            const std::string before(to_string(record->status));
            record->status = wanted;
            registry.put(*record);  // the status lives in the registry alone: the generation of the settings stays
            registry.audit({m_clock.wall(), std::string(who), suspended ? "tenant.suspend" : "tenant.resume",
                            record->id, "status", before, std::string(to_string(wanted))});
            return record;
        });
    }

    Result<void> begin_removal(std::string_view id, std::string_view who) override {
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

    Result<void> finish_removal(std::string_view id) override {
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

    Result<NewKey> create_key(const KeyRequest& request, std::string_view who) override {
        if (Result<void> valid = check_key_request(request); !valid) {
            return std::move(valid).error();
        }
        NewKey key = generate_key();
        key.record.tenant = request.tenant;
        key.record.name = request.name;
        key.record.created = m_clock.wall();
        key.record.read_only = request.read_only;
        if (request.expires_in) {
            key.record.expires = key.record.created + *request.expires_in;
        }
        return change([&](Registry& registry) -> Result<NewKey> {
            if (Result<void> touched = touch_owner(registry, request.tenant); !touched) {
                return std::move(touched).error();
            }
            registry.put_key(key.record);
            registry.audit(
                {m_clock.wall(), std::string(who), "key.create", request.tenant, key.record.key_id, "", request.name});
            return key;
        });
    }

    Result<std::vector<KeyRecord>> keys(std::string_view tenant) override {
        std::vector<KeyRecord> records;
        return view(std::move(records),
                    [&](Registry& registry, std::vector<KeyRecord>& found) { found = registry.keys(tenant); });
    }

    Result<KeyRecord> revoke_key(std::string_view key_id, std::string_view who) override {
        return change([&](Registry& registry) -> Result<KeyRecord> {
            Result<KeyRecord> key = find_key(registry, key_id);
            if (!key || (key->revoked && *key->revoked <= m_clock.wall())) {
                return key;
            }
            key->revoked = m_clock.wall();
            registry.put_key(*key);
            registry.audit({m_clock.wall(), std::string(who), "key.revoke", key->tenant, key->key_id, key->name, ""});
            Result<void> touched = touch_owner(registry, key->tenant);
            return touched ? key : Result<KeyRecord>(std::move(touched).error());
        });
    }

    Result<NewKey> rotate_key(std::string_view key_id, std::chrono::milliseconds grace, std::string_view who) override {
        return change([&](Registry& registry) -> Result<NewKey> {
            Result<KeyRecord> old = find_key(registry, key_id);
            if (!old) {
                return std::move(old).error();
            }
            const WallTime now = m_clock.wall();
            if (!old->is_live(now)) {
                return Error{Code::conflict, fmt::format("key {} is revoked or expired", quote(key_id))};
            }
            NewKey fresh = generate_key();
            fresh.record.tenant = old->tenant;
            fresh.record.name = old->name;
            fresh.record.created = now;
            fresh.record.read_only = old->read_only;
            if (old->expires) {
                fresh.record.expires = now + (*old->expires - old->created);
            }
            old->revoked = old->revoked ? std::min(*old->revoked, now + grace) : now + grace;
            registry.put_key(*old);
            registry.put_key(fresh.record);
            registry.audit(
                {now, std::string(who), "key.rotate", old->tenant, old->key_id, old->key_id, fresh.record.key_id});
            Result<void> touched = touch_owner(registry, old->tenant);
            return touched ? Result<NewKey>(fresh) : Result<NewKey>(std::move(touched).error());
        });
    }

    Result<std::vector<AuditEvent>> history(std::string_view tenant, std::int64_t limit) override {
        std::vector<AuditEvent> events;
        return view(std::move(events), [&](Registry& registry, std::vector<AuditEvent>& found) {
            found = registry.history(tenant, limit);
        });
    }

    Result<Changes> changes_since(std::int64_t sequence) override {
        return view(Changes{},
                    [&](Registry& registry, Changes& changes) { changes = registry.changes_since(sequence); });
    }

    Result<std::string> integrity() override {
        Result<std::unique_lock<std::mutex>> lock = lock_patiently(m_mutex);
        if (!lock) {
            return std::move(lock).error();
        }
        return m_database->integrity();
    }

  private:
    // Runs a change in one transaction of the registry.
    template <class Work>
    auto change(const Work& work) -> std::invoke_result_t<Work, Registry&> {
        using R = std::invoke_result_t<Work, Registry&>;
        Result<std::unique_lock<std::mutex>> lock = lock_patiently(m_mutex);
        if (!lock) {
            return std::move(lock).error();
        }
        std::optional<R> outcome;
        Result<void> done = m_database->transaction([&]() -> Result<void> {
            Registry registry(*m_database);
            outcome.emplace(work(registry));
            return *outcome ? Result<void>{} : Result<void>{outcome->error()};
        });
        return done ? *std::move(outcome) : R(std::move(done).error());
    }

    // Reads into `value`.
    template <class T, class Work>
    Result<T> view(T value, const Work& work) {
        Result<std::unique_lock<std::mutex>> lock = lock_patiently(m_mutex);
        if (!lock) {
            return std::move(lock).error();
        }
        Result<void> done = m_database->run([&]() -> Result<void> {
            Registry registry(*m_database);
            work(registry, value);
            return {};
        });
        return done ? Result<T>(std::move(value)) : Result<T>(std::move(done).error());
    }

    Result<TenantRecord> read_row(std::string_view id) {
        std::optional<TenantRecord> record;
        Result<void> done = m_database->run([&]() -> Result<void> {
            record = Registry(*m_database).find(id);
            return {};
        });
        if (!done) {
            return std::move(done).error();
        }
        return record ? Result<TenantRecord>(*std::move(record)) : Result<TenantRecord>(no_tenant(id));
    }

    // The row of a tenant that can be changed.
    static Result<TenantRecord> live(Registry& registry, std::string_view id) {
        std::optional<TenantRecord> record = registry.find(id);
        const bool gone =
            !record || record->status == TenantStatus::removing || record->status == TenantStatus::removed;
        return gone ? Result<TenantRecord>(no_tenant(id)) : Result<TenantRecord>(*std::move(record));
    }

    static Result<KeyRecord> find_key(Registry& registry, std::string_view key_id) {
        std::optional<KeyRecord> key = registry.key(key_id);
        return key ? Result<KeyRecord>(*std::move(key))
                   : Result<KeyRecord>(Error{Code::not_found, fmt::format("there is no key {}", quote(key_id))});
    }

    // Tells everybody that the keys of a tenant, or of the operators, have changed.
    static Result<void> touch_owner(Registry& registry, std::string_view tenant) {
        if (tenant.empty()) {
            registry.touch_operator_keys();
            return {};
        }
        Result<TenantRecord> record = live(registry, tenant);
        if (!record) {
            return std::move(record).error();
        }
        registry.put(*record);
        return {};
    }

    // Applies changes to settings and returns those that make a difference.
    static SettingChanges merge(Settings& settings, const SettingChanges& changes) {
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

    static std::string old_text(const Settings& settings, const std::string& field) {
        const auto found = settings.find(field);
        return found == settings.end() ? std::string{} : setting_text(field, found->second);
    }

    // Name and plan as listings show them.
    static void set_shown(TenantRecord& record) {
        record.name = text_of(record.own, "name", record.id);
        record.plan = text_of(record.own, "plan", "basic");
        record.auth = text_of(record.own, "auth", "key");
    }

    // Brings the row up to the file. The row is read again under the write lock: whoever wrote the file may have
    // written the row, or a newer status, in the meantime.
    Result<TenantRecord> repair(TenantRecord record, std::int64_t generation) {
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
            }
            return {};
        });
        return done ? Result<TenantRecord>(std::move(record)) : Result<TenantRecord>(std::move(done).error());
    }

    std::mutex m_mutex;
    std::unique_ptr<Database> m_database;
    TenantFiles& m_files;
    const Clock& m_clock;
};

}  // namespace

Result<std::unique_ptr<Catalog>> open_sqlite_catalog(const DataFolder& folder, TenantFiles& files, const Clock& clock,
                                                     const CatalogOptions& how) {
    OpenOptions options;
    options.create = how.create;
    options.full_sync = true;
    options.checkpoint = how.checkpoint;
    options.cache_kib = 2048;
    Result<std::unique_ptr<Database>> database = Database::open(folder.registry(), options);
    if (!database) {
        return std::move(database).error();
    }
    if (Result<void> migrated = (*database)->migrate(k_registry_part); !migrated) {
        return std::move(migrated).error();
    }
    return std::unique_ptr<Catalog>(std::make_unique<SqliteCatalog>(*std::move(database), files, clock));
}

}  // namespace mt
