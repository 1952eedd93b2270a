#include "catalog/postgres_catalog.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "catalog/postgres_schema.h"

namespace mt {
namespace {

constexpr std::chrono::milliseconds k_deaf_poll{500};  // a change is to be applied within 1 s

}  // namespace

PostgresCatalog::PostgresCatalog(postgres::Pool& pool, const Clock& clock)
    : m_pool(pool), m_clock(clock), m_listener(pool.options(), std::string(k_changes_channel), clock) {}

Result<std::vector<AuditEvent>> PostgresCatalog::history(std::string_view tenant, std::int64_t limit) {
    return view([&](PostgresRegistry& registry) { return registry.history(tenant, limit); });
}

Result<Changes> PostgresCatalog::changes_since(std::int64_t sequence) {
    return view([&](PostgresRegistry& registry) { return registry.changes_since(sequence); });
}

Result<LedgerWriter> PostgresCatalog::note_writer(std::string_view /*writer*/) {
    return LedgerWriter{WallTime::max(), true};
}

// While nothing can be heard, changes are found by looking for them.
void PostgresCatalog::await_change(std::chrono::milliseconds at_most) {
    m_listener.wait(m_listener.hears() ? at_most : std::min(at_most, k_deaf_poll));
}

void PostgresCatalog::wake() {
    m_listener.wake();
}

Result<std::string> PostgresCatalog::integrity() {
    return view([](PostgresRegistry& registry) { return registry.integrity(); });
}

Result<std::unique_ptr<Catalog>> open_postgres_catalog(postgres::Pool& pool, const Clock& clock,
                                                       const PostgresCatalogOptions& options) {
    if (!options.create) {
        if (Result<postgres::Rows> there = pool.query("SELECT 1 FROM mtagent.counters LIMIT 1"); !there) {
            Error error = std::move(there).error();
            if (error.code == Code::not_found) {
                error.message = "there is no catalog in this PostgreSQL yet: `mtagent serve` makes it";
            }
            return error;
        }
    }
    const std::array<std::string, 1> steps{std::string(k_catalog_schema_1)};
    if (Result<void> migrated = postgres::migrate(pool, {k_catalog_schema, k_catalog_part, steps}); !migrated) {
        Error error = std::move(migrated).error();
        error.message =
            fmt::format("the catalog in PostgreSQL (schema {}) cannot be used: {}", k_catalog_schema, error.message);
        return error;
    }
    return std::unique_ptr<Catalog>(std::make_unique<PostgresCatalog>(pool, clock));
}

}  // namespace mt
