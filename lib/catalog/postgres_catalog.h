#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include "catalog/catalog.h"
#include "catalog/postgres_registry.h"
#include "catalog/rules.h"
#include "postgres/pool.h"

namespace mt {

/// The catalog in a PostgreSQL, shared by any number of processes: all of it is in the database's tables, nothing is
/// kept here. Whoever changes a tenant holds its row until the commit; of two new lives of one id the database lets one
/// through. Thread-safe.
class PostgresCatalog final : public Catalog {
  public:
    PostgresCatalog(postgres::Pool& pool, const Clock& clock);

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

    // postgres_catalog_models.cpp
    Result<TenantRecord> put_model(std::string_view tenant, const TenantModel& model, bool replace,
                                   std::string_view who) override;
    Result<TenantRecord> remove_model(std::string_view tenant, std::string_view name, std::string_view who) override;

    // postgres_catalog_keys.cpp
    Result<NewKey> create_key(const KeyRequest& request, std::string_view who) override;
    Result<std::vector<KeyRecord>> keys(std::string_view tenant) override;
    Result<std::string> key_owner(std::string_view key_id) override;
    Result<KeyRecord> revoke_key(std::string_view key_id, std::string_view who) override;
    Result<NewKey> rotate_key(std::string_view key_id, std::chrono::milliseconds grace, std::string_view who) override;

    Result<std::vector<AuditEvent>> history(std::string_view tenant, std::int64_t limit) override;
    Result<Changes> changes_since(std::int64_t sequence) override;
    Result<LedgerWriter> note_writer(std::string_view writer) override;
    [[nodiscard]] bool shared() const override { return true; }
    void await_change(std::chrono::milliseconds at_most) override;
    void wake() override;
    Result<std::string> integrity() override;

  private:
    // Runs `work` over a connection. It may run again on another one, as long as nothing came of it.
    template <class Work>
    auto view(const Work& work) -> std::invoke_result_t<Work, PostgresRegistry&> {
        using R = std::invoke_result_t<Work, PostgresRegistry&>;
        std::optional<R> outcome;
        Result<void> done = m_pool.with([&](postgres::Session& session) -> Result<void> {
            PostgresRegistry registry(session);
            outcome.emplace(work(registry));
            return *outcome ? Result<void>{} : Result<void>{outcome->error()};
        });
        return done ? *std::move(outcome) : R(std::move(done).error());
    }

    // The same in one transaction.
    template <class Work>
    auto change(const Work& work) -> std::invoke_result_t<Work, PostgresRegistry&> {
        using R = std::invoke_result_t<Work, PostgresRegistry&>;
        std::optional<R> outcome;
        Result<void> done = m_pool.with([&](postgres::Session& session) {
            return session.transaction([&]() -> Result<void> {
                PostgresRegistry registry(session);
                outcome.emplace(work(registry));
                return *outcome ? Result<void>{} : Result<void>{outcome->error()};
            });
        });
        return done ? *std::move(outcome) : R(std::move(done).error());
    }

    [[nodiscard]] rules::Actor actor(std::string_view who) const { return {who, m_clock.wall()}; }
    // Holds the row of a tenant that can be changed.
    static Result<TenantRecord> lock_live(PostgresRegistry& registry, std::string_view id);
    // The same with settings and models.
    static Result<TenantRecord> lock_whole(PostgresRegistry& registry, std::string_view id);
    // Holds a key made here and whose it is; `owner` is nothing for the operators'. Errors: not_found.
    static Result<KeyRecord> lock_key(PostgresRegistry& registry, std::string_view key_id,
                                      std::optional<TenantRecord>& owner);
    // Publishes a change of a key. Errors: not_found (the owner is being removed).
    static Result<void> publish_key(PostgresRegistry& registry, const std::optional<TenantRecord>& owner,
                                    const AuditEvent& event);

    postgres::Pool& m_pool;
    const Clock& m_clock;
    postgres::Listener m_listener;
};

}  // namespace mt
