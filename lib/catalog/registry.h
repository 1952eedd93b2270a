#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/catalog.h"
#include "sqlite/database.h"

namespace mt {

/// The rows of registry.db as values. Every method runs statements and throws what SQLite throws: inside Database::run
/// or transaction only. Not thread-safe.
class Registry {
  public:
    explicit Registry(Database& database) : m_database(database) {}

    std::optional<TenantRecord> find(std::string_view id);
    std::vector<TenantRecord> list(std::string_view cursor, std::int64_t limit);
    std::vector<TenantRecord> removing();
    std::vector<std::string> open_tenants(std::int64_t limit);
    /// Inserts or replaces, as a change that changes_since() shows.
    void put(const TenantRecord& record);

    std::optional<KeyRecord> key(std::string_view key_id);
    std::vector<KeyRecord> keys(std::string_view tenant);
    void put_key(const KeyRecord& record);
    std::optional<std::string> key_owner(std::string_view key_id);
    /// Replaces the ids of the keys that stand in a tenant's settings.
    void put_configured_keys(std::string_view tenant, const std::vector<std::string>& key_ids);
    /// Those in its settings, too.
    void erase_keys(std::string_view tenant);
    /// Blanks what the audit events of a tenant's former life say of its settings; who did what and when stays.
    void erase_details(std::string_view tenant);
    void touch_operator_keys();

    void audit(const AuditEvent& event);
    std::vector<AuditEvent> history(std::string_view tenant, std::int64_t limit);

    Changes changes_since(std::int64_t sequence);
    LedgerWriter note_writer(std::string_view writer, WallTime now);

  private:
    std::int64_t next_change();
    std::int64_t counter(std::string_view name);

    Database& m_database;
};

}  // namespace mt
