#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "catalog/api_key.h"
#include "config/fields.h"

namespace mt {

class DataFolder;
class TenantFiles;

namespace postgres {
class Pool;
}

/// removing: told to go, its data still there; removed: gone, the name is a tombstone that a new life may take.
enum class TenantStatus { active, suspended, removing, removed };

std::string_view to_string(TenantStatus status);

/// A language model of a tenant's own (feature custom-models).
struct TenantModel {
    std::string name;
    std::string base_url;
    std::string model;       ///< its name at the upstream
    std::string sealed_key;  ///< opened only where it is used (SecretBox); empty: none is sent
    WallTime created{};

    friend bool operator==(const TenantModel&, const TenantModel&) = default;
};

inline constexpr std::size_t k_most_own_models = 32;

/// A tenant at rest. `own` are the settings written for it; the rest comes from its plan.
struct TenantRecord {
    std::string id;
    std::string uid;  ///< 32 hexadecimal digits, new with each life of the id
    std::string name;
    std::string plan;
    std::string auth = "key";  ///< key | open
    TenantStatus status = TenantStatus::active;
    std::int64_t generation = 0;  ///< grows with each change
    WallTime created{};
    Settings own{};                     ///< empty in listings
    std::vector<TenantModel> models{};  ///< of its own, by name; empty in listings
};

/// Changes to a tenant's own settings; nothing means: back to the plan's value.
using SettingChanges = std::map<std::string, std::optional<Value>, std::less<>>;

/// Tells whether settings as a whole would be valid (Config::check).
using SettingsCheck = std::function<Result<void>(const Settings&)>;

/// One line of history: who did what to a tenant, when.
struct AuditEvent {
    WallTime at{};
    std::string who;
    std::string action;  ///< tenant.add, tenant.config, tenant.suspend, ..., model.add, key.create, ...
    std::string tenant;
    std::string subject;  ///< the field or key concerned, may be empty
    std::string before;
    std::string after;
};

/// A slot file's place among those that have ever counted here.
struct LedgerWriter {
    WallTime since{};    ///< the beginning of time for the first ever; a tenant made since has no numbers of others
    bool latest = true;  ///< false: a later one has taken over its numbers; to count in it would count them twice
};

/// What changed since a point in the catalog's history.
struct Changes {
    std::int64_t sequence = 0;
    std::vector<std::string> tenants;  ///< ids
    bool operator_keys = false;
};

/// Tenants, API keys and audit events at rest. Every change is one transaction with its audit event; `who` is the
/// operator key's name or the system user. Thread-safe.
///
/// Every method: unavailable, busy, storage_full or failed when the files cannot be used.
class Catalog {
  public:
    Catalog() = default;
    Catalog(const Catalog&) = delete;
    Catalog& operator=(const Catalog&) = delete;
    virtual ~Catalog() = default;

    /// Errors: already_exists, busy (the former life is still being removed), invalid (id, settings).
    virtual Result<TenantRecord> create_tenant(std::string_view id, const Settings& own, const SettingsCheck& check,
                                               std::string_view who) = 0;
    /// The tenant with its settings; a removed one is not found, one that is being removed has its settings as far as
    /// they can still be read. Errors: not_found.
    virtual Result<TenantRecord> tenant(std::string_view id) = 0;
    /// Status by id without opening the tenant's file; also of removing and removed ones. Errors: not_found.
    virtual Result<TenantRecord> row(std::string_view id) = 0;
    /// Tenants in order of their ids after `cursor`, without settings; removed ones are left out.
    virtual Result<std::vector<TenantRecord>> tenants(std::string_view cursor, std::int64_t limit) = 0;
    /// Tenants marked for removal and not erased yet.
    virtual Result<std::vector<TenantRecord>> removing() = 0;
    /// Ids of tenants that need no key, at most `limit`.
    virtual Result<std::vector<std::string>> open_tenants(std::int64_t limit) = 0;
    /// Changes settings; without a difference nothing is written. Errors: not_found, invalid.
    virtual Result<TenantRecord> update_tenant(std::string_view id, const SettingChanges& changes,
                                               const SettingsCheck& check, std::string_view who) = 0;
    /// Suspends or resumes. Errors: not_found.
    virtual Result<TenantRecord> set_suspended(std::string_view id, bool suspended, std::string_view who) = 0;
    /// Marks for removal; nobody is served from now on. Errors: not_found.
    virtual Result<void> begin_removal(std::string_view id, std::string_view who) = 0;
    /// Erases settings and keys of a tenant marked for removal, after the last call of the tenant ended; the data is
    /// erased before. Where shared(), any process may call this, several at once and again: nothing happens when the
    /// life `uid` is not marked any more. Else only the holder of the folder's lock may. Errors: not_found (no such
    /// tenant ever).
    virtual Result<void> finish_removal(std::string_view id, std::string_view uid) = 0;

    /// Gives a tenant a model of its own, in the place of one with its name when `replace` says so. Errors: not_found,
    /// already_exists, invalid (it has k_most_own_models).
    virtual Result<TenantRecord> put_model(std::string_view tenant, const TenantModel& model, bool replace,
                                           std::string_view who) = 0;
    /// Errors: not_found (tenant or model), conflict (the tenant's settings `model` or `models` name it).
    virtual Result<TenantRecord> remove_model(std::string_view tenant, std::string_view name, std::string_view who) = 0;

    /// A new key for a tenant, or for operators when `tenant` is empty. Errors: not_found.
    virtual Result<NewKey> create_key(const KeyRequest& request, std::string_view who) = 0;
    /// Keys of a tenant, or of the operators when `tenant` is empty, oldest first, revoked ones too.
    virtual Result<std::vector<KeyRecord>> keys(std::string_view tenant) = 0;
    /// The tenant that a key id belongs to, of a key made here or of one in a tenant's key_hashes; where several
    /// tenants name the same id, the first by id. Says nothing of whether the key is live. Errors: not_found.
    virtual Result<std::string> key_owner(std::string_view key_id) = 0;
    /// Errors: not_found. Revoking twice is no error.
    virtual Result<KeyRecord> revoke_key(std::string_view key_id, std::string_view who) = 0;
    /// A new key with the old one's name and rights; the old one ends after `grace`. Errors: not_found, conflict (the
    /// old one is revoked or expired).
    virtual Result<NewKey> rotate_key(std::string_view key_id, std::chrono::milliseconds grace,
                                      std::string_view who) = 0;

    /// Events of one tenant (all when empty), newest first, at most `limit`.
    virtual Result<std::vector<AuditEvent>> history(std::string_view tenant, std::int64_t limit) = 0;

    /// What changed after `sequence` (0: since ever, the largest number: nothing but the present sequence), made by
    /// whatever process.
    virtual Result<Changes> changes_since(std::int64_t sequence) = 0;
    /// Notes that `writer` counts in this catalog's ledger. Where shared(), nothing is noted, since many count at once:
    /// the place is the latest, and `since` is the end of time, for every tenant may have numbers of others.
    virtual Result<LedgerWriter> note_writer(std::string_view writer) = 0;

    /// True where other processes serve from this catalog, too.
    [[nodiscard]] virtual bool shared() const = 0;
    /// Returns when something may have changed, at the latest after `at_most`, sooner where changes cannot be heard of:
    /// then changes_since() tells. For one thread.
    virtual void await_change(std::chrono::milliseconds at_most) = 0;
    /// Ends an await_change() in progress, or the next one.
    virtual void wake() = 0;

    /// "ok", or what is damaged in the registry.
    virtual Result<std::string> integrity() = 0;
};

struct CatalogOptions {
    bool create = true;      ///< make the registry when it is missing
    bool checkpoint = true;  ///< false beside a running server
};

/// The catalog in a data folder. `files` and `clock` must outlive it. Errors: not_found (no registry and !create),
/// version_mismatch, unavailable.
Result<std::unique_ptr<Catalog>> open_sqlite_catalog(const DataFolder& folder, TenantFiles& files, const Clock& clock,
                                                     const CatalogOptions& options);

struct PostgresCatalogOptions {
    bool create = true;  ///< make the tables when they are missing
};

/// The catalog in a PostgreSQL, shared by any number of processes: the schema `mtagent`. `pool` and `clock` must
/// outlive it. Errors: not_found (no tables and !create), version_mismatch, failed (rights are missing), unavailable.
Result<std::unique_ptr<Catalog>> open_postgres_catalog(postgres::Pool& pool, const Clock& clock,
                                                       const PostgresCatalogOptions& options);

/// Calls `visit` with every tenant that is not removed, in order of the ids, until it returns an error.
Result<void> for_each_tenant(Catalog& catalog, const std::function<Result<void>(const TenantRecord&)>& visit);

}  // namespace mt
