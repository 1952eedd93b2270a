#include <fmt/core.h>

#include <utility>

#include "base/text.h"
#include "catalog/registry.h"
#include "catalog/registry_schema.h"
#include "catalog/sqlite_catalog.h"

namespace mt {

Error no_tenant(std::string_view id) {
    return {Code::not_found, fmt::format("there is no tenant {}", quote(id))};
}

Result<TenantRecord> SqliteCatalog::row(std::string_view id) {
    Result<std::unique_lock<std::mutex>> lock = lock_patiently(m_mutex);
    if (!lock) {
        return std::move(lock).error();
    }
    return read_row(id);
}

Result<std::vector<TenantRecord>> SqliteCatalog::tenants(std::string_view cursor, std::int64_t limit) {
    std::vector<TenantRecord> records;
    return view(std::move(records),
                [&](Registry& registry, std::vector<TenantRecord>& found) { found = registry.list(cursor, limit); });
}

Result<std::vector<TenantRecord>> SqliteCatalog::removing() {
    std::vector<TenantRecord> records;
    return view(std::move(records),
                [](Registry& registry, std::vector<TenantRecord>& found) { found = registry.removing(); });
}

Result<std::vector<std::string>> SqliteCatalog::open_tenants(std::int64_t limit) {
    std::vector<std::string> ids;
    return view(std::move(ids),
                [&](Registry& registry, std::vector<std::string>& found) { found = registry.open_tenants(limit); });
}

Result<std::vector<AuditEvent>> SqliteCatalog::history(std::string_view tenant, std::int64_t limit) {
    std::vector<AuditEvent> events;
    return view(std::move(events),
                [&](Registry& registry, std::vector<AuditEvent>& found) { found = registry.history(tenant, limit); });
}

Result<Changes> SqliteCatalog::changes_since(std::int64_t sequence) {
    return view(Changes{}, [&](Registry& registry, Changes& changes) { changes = registry.changes_since(sequence); });
}

Result<LedgerWriter> SqliteCatalog::note_writer(std::string_view writer) {
    Result<std::unique_lock<std::mutex>> lock = lock_patiently(m_mutex);
    if (!lock) {
        return std::move(lock).error();
    }
    LedgerWriter place;
    Result<void> noted = m_database->transaction([&]() -> Result<void> {
        place = Registry(*m_database).note_writer(writer, m_clock.wall());
        return {};
    });
    return noted ? Result<LedgerWriter>(place) : Result<LedgerWriter>(std::move(noted).error());
}

Result<std::string> SqliteCatalog::integrity() {
    Result<std::unique_lock<std::mutex>> lock = lock_patiently(m_mutex);
    if (!lock) {
        return std::move(lock).error();
    }
    return m_database->integrity();
}

Result<TenantRecord> SqliteCatalog::read_row(std::string_view id) {
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
Result<TenantRecord> SqliteCatalog::live(Registry& registry, std::string_view id) {
    std::optional<TenantRecord> record = registry.find(id);
    const bool gone = !record || record->status == TenantStatus::removing || record->status == TenantStatus::removed;
    return gone ? Result<TenantRecord>(no_tenant(id)) : Result<TenantRecord>(*std::move(record));
}

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
