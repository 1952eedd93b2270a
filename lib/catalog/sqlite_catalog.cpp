#include <algorithm>
#include <utility>

#include "catalog/registry.h"
#include "catalog/registry_schema.h"
#include "catalog/sqlite_catalog.h"

namespace mt {

namespace {

constexpr std::chrono::milliseconds k_poll{100};  // a change is to be applied within 200 ms

}  // namespace

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

// Another process's changes make no sound.
void SqliteCatalog::await_change(std::chrono::milliseconds at_most) {
    std::unique_lock lock(m_wake_mutex);
    m_wake.wait_for(lock, std::min(at_most, k_poll), [this] { return m_woken; });
    m_woken = false;
}

void SqliteCatalog::wake() {
    const std::lock_guard lock(m_wake_mutex);
    m_woken = true;
    m_wake.notify_all();
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
    return record ? Result<TenantRecord>(*std::move(record)) : Result<TenantRecord>(rules::no_tenant(id));
}

// The row of a tenant that can be changed.
Result<TenantRecord> SqliteCatalog::live(Registry& registry, std::string_view id) {
    std::optional<TenantRecord> record = registry.find(id);
    return record && rules::can_change(*record) ? Result<TenantRecord>(*std::move(record))
                                                : Result<TenantRecord>(rules::no_tenant(id));
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
