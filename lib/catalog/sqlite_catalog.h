#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/blocking.h"
#include "catalog/catalog.h"
#include "catalog/registry.h"
#include "catalog/rules.h"
#include "sqlite/data_folder.h"
#include "sqlite/database.h"
#include "sqlite/tenant_files.h"

namespace mt {

/// The catalog in a data folder: registry.db and a file per tenant.
///
/// Lock order: m_mutex, then the registry's write lock, then a tenant's file. Whoever changes a tenant holds the
/// registry's write lock all the time, so that two processes never change the same tenant at once; the file is
/// committed first, and a newer generation in it repairs the registry should the process die in between.
class SqliteCatalog final : public Catalog {
  public:
    SqliteCatalog(std::unique_ptr<Database> database, TenantFiles& files, const Clock& clock)
        : m_database(std::move(database)), m_files(files), m_clock(clock) {}

    Result<TenantRecord> create_tenant(std::string_view id, const Settings& own, const SettingsCheck& check,
                                       std::string_view who) override;
    Result<TenantRecord> tenant(std::string_view id) override;
    Result<TenantRecord> row(std::string_view id) override;
    Result<std::vector<TenantRecord>> tenants(std::string_view cursor, std::int64_t limit) override;
    Result<std::vector<TenantRecord>> removing() override;
    Result<std::vector<std::string>> open_tenants(std::int64_t limit) override;
    Result<TenantRecord> update_tenant(std::string_view id, const SettingChanges& changes, const SettingsCheck& check,
                                       std::string_view who) override;
    Result<TenantRecord> set_suspended(std::string_view id, bool suspended, std::string_view who) override;
    Result<void> begin_removal(std::string_view id, std::string_view who) override;
    Result<void> finish_removal(std::string_view id, std::string_view uid) override;

    // sqlite_catalog_models.cpp
    Result<TenantRecord> put_model(std::string_view tenant, const TenantModel& model, bool replace,
                                   std::string_view who) override;
    Result<TenantRecord> remove_model(std::string_view tenant, std::string_view name, std::string_view who) override;

    // sqlite_catalog_keys.cpp
    Result<NewKey> create_key(const KeyRequest& request, std::string_view who) override;
    Result<std::vector<KeyRecord>> keys(std::string_view tenant) override;
    Result<std::string> key_owner(std::string_view key_id) override;
    Result<KeyRecord> revoke_key(std::string_view key_id, std::string_view who) override;
    Result<NewKey> rotate_key(std::string_view key_id, std::chrono::milliseconds grace, std::string_view who) override;

    Result<std::vector<AuditEvent>> history(std::string_view tenant, std::int64_t limit) override;
    Result<Changes> changes_since(std::int64_t sequence) override;
    Result<LedgerWriter> note_writer(std::string_view writer) override;
    [[nodiscard]] bool shared() const override { return false; }
    void await_change(std::chrono::milliseconds at_most) override;
    void wake() override;
    Result<std::string> integrity() override;

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

    [[nodiscard]] rules::Actor actor(std::string_view who) const { return {who, m_clock.wall()}; }
    Result<TenantRecord> read_row(std::string_view id);
    // Adds what its file says of the life in the row.
    Result<TenantRecord> read_file(TenantRecord record);
    // The row of a tenant that can be changed.
    static Result<TenantRecord> live(Registry& registry, std::string_view id);
    // The same with what its file says.
    Result<TenantRecord> with_file(Registry& registry, std::string_view id);
    // Tells everybody that the keys of a tenant, or of the operators, have changed.
    static Result<void> touch_owner(Registry& registry, std::string_view tenant);
    // Brings the row up to the file. The row is read again under the write lock: whoever wrote the file may have
    // written the row, or a newer status, in the meantime.
    Result<TenantRecord> repair(TenantRecord record, std::int64_t generation);

    std::mutex m_mutex;
    std::unique_ptr<Database> m_database;
    TenantFiles& m_files;
    const Clock& m_clock;
    std::mutex m_wake_mutex;
    std::condition_variable m_wake;
    bool m_woken = false;  // guarded by m_wake_mutex
};

}  // namespace mt
