#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/rules.h"
#include "postgres/pool.h"

namespace mt {

/// The rows of the schema `mtagent` as values, over one lent connection. What the names say of locks, and every write,
/// belongs into a transaction; publish() comes last in it, since it holds up the changes of all others until the
/// commit. Locks are taken in the order tenant, key, counters, so that no two changes wait for each other. Not
/// thread-safe.
///
/// Every method: what the session says; a missing table is `failed`, never not_found.
class PostgresRegistry {
  public:
    explicit PostgresRegistry(postgres::Session& session) : m_session(session) {}

    /// The row of a tenant.
    Result<std::optional<TenantRecord>> find(std::string_view id);
    /// The same, held until the end of the transaction.
    Result<std::optional<TenantRecord>> lock(std::string_view id);
    /// The row with settings and models, all of one moment.
    Result<std::optional<TenantRecord>> whole(std::string_view id);
    Result<std::vector<TenantRecord>> list(std::string_view cursor, std::int64_t limit);
    Result<std::vector<TenantRecord>> removing();
    Result<std::vector<std::string>> open_tenants(std::int64_t limit);

    /// Takes a name that nobody has, or whose tenant is removed, for a new life, and returns its generation; nothing
    /// when it is taken.
    Result<std::optional<std::int64_t>> claim(const TenantRecord& record);
    /// Writes settings that differ, with their history.
    Result<void> put_settings(const TenantRecord& record, const SettingChanges& different, const rules::Actor& actor);
    Result<void> put_configured_keys(std::string_view tenant, const std::vector<std::string>& key_ids);
    /// Writes a model, or takes one out, with its history.
    Result<void> put_model(const TenantRecord& record, const TenantModel& model, const rules::Actor& actor);
    Result<void> erase_model(const TenantRecord& record, std::string_view name, const rules::Actor& actor);
    /// Erases all that a life had, but for who did what and when.
    Result<void> erase(std::string_view tenant);

    Result<std::vector<KeyRecord>> keys(std::string_view tenant);
    Result<std::optional<std::string>> key_owner(std::string_view key_id);
    /// The row of the tenant that a key made here belongs to, held until the end of the transaction.
    Result<std::optional<TenantRecord>> lock_owner(std::string_view key_id);
    Result<std::optional<KeyRecord>> lock_key(std::string_view key_id);
    Result<void> add_key(const KeyRecord& key);
    Result<void> end_key(const KeyRecord& key);

    /// Writes the row as a change that changes_since() shows, with its events (all of one moment, person, action and
    /// tenant), and tells every process at the commit.
    Result<void> publish(const TenantRecord& record, const std::vector<AuditEvent>& events);
    /// The same for the operators' keys.
    Result<void> publish_operator_keys(const AuditEvent& event);

    Result<std::vector<AuditEvent>> history(std::string_view tenant, std::int64_t limit);
    Result<Changes> changes_since(std::int64_t sequence);
    Result<std::string> integrity();

  private:
    // PostgreSQL takes no other text; nothing is named by such a one.
    static bool can_be_sent(std::string_view text);
    Result<postgres::Rows> run(std::string_view sql, const postgres::Parameters& parameters = {});
    Result<void> write(std::string_view sql, const postgres::Parameters& parameters);
    Result<std::optional<TenantRecord>> one_tenant(std::string_view sql, std::string_view name);

    postgres::Session& m_session;
};

}  // namespace mt
