#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/catalog.h"
#include "sqlite/tenant_files.h"
#include "stats/books.h"
#include "stats/ledger_store.h"
#include "stats/metrics.h"
#include "stats/slot_file.h"
#include "stats/tenant_series.h"
#include "tenant/manager.h"

namespace mt {

/// Reads the numbers of tenants wherever they are: in the counters of loaded tenants, in the slots of a running server,
/// where the ledger is stored. Every view (HTTP, metrics, command line) goes through here, so that they agree.
/// Thread-safe.
class StatsReader {
  public:
    /// `store` works for the writer of `slots`. `slots` and `manager` may be null (no server has ever run; a command
    /// beside the server). References must outlive the reader.
    StatsReader(Catalog& catalog, LedgerStore& store, const SlotFile* slots, const TenantManager* manager)
        : m_catalog(catalog), m_store(store), m_slots(slots), m_manager(manager) {}
    /// The same over the tenants' own files.
    StatsReader(Catalog& catalog, TenantFiles& files, const SlotFile* slots, const TenantManager* manager);

    /// What /metrics shows: the tenants with series of their own and the others together, as far as this process counts
    /// them. Asks slots, and the catalog for those that have not counted yet, unless it is away. Never fails.
    std::vector<TenantSample> series(TenantSeries& series);

    /// All tenants that are not removed, in order of their ids. A tenant whose numbers cannot be read is left out and
    /// told in `faults`. Errors: what the catalog and a shared store say.
    Result<std::vector<TenantSample>> all(std::vector<std::string>& faults);
    /// Errors: not_found, what the store says.
    Result<TenantSample> one(std::string_view id);

    /// The books of a tenant's life.
    [[nodiscard]] Books books(const TenantRecord& record) const { return {m_store, m_slots, {record.id, record.uid}}; }

  private:
    void refresh_gauges() const;
    [[nodiscard]] bool is_complete(const TenantRecord& record) const;
    Result<TenantSample> sample(const TenantRecord& record) const;
    [[nodiscard]] TenantSample sample(const TenantRecord& record, const StoredTotals& stored) const;

    Catalog& m_catalog;
    std::unique_ptr<LedgerStore> m_own_store;  ///< null: somebody else's
    LedgerStore& m_store;
    const SlotFile* m_slots;
    const TenantManager* m_manager;
};

}  // namespace mt
