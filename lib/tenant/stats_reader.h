#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "catalog/catalog.h"
#include "sqlite/tenant_files.h"
#include "stats/books.h"
#include "stats/metrics.h"
#include "stats/slot_file.h"
#include "stats/tenant_series.h"
#include "tenant/manager.h"

namespace mt {

/// Reads the numbers of tenants wherever they are: in the counters of loaded tenants, in the slots of a running server,
/// in the tenants' files. Every view (HTTP, metrics, command line) goes through here, so that they agree. Thread-safe.
class StatsReader {
  public:
    /// `slots` and `manager` may be null (no server has ever run; a command beside the server). References must outlive
    /// the reader.
    StatsReader(Catalog& catalog, TenantFiles& files, const SlotFile* slots, const TenantManager* manager)
        : m_catalog(catalog), m_files(files), m_slots(slots), m_manager(manager) {}

    /// What /metrics shows: the tenants with series of their own and the others together. Opens no tenant's file.
    /// Errors: what the catalog says.
    Result<std::vector<TenantSample>> series(TenantSeries& series);

    /// All tenants that are not removed, in order of their ids. A tenant whose file cannot be read is left out and told
    /// in `faults`. Errors: what the catalog says.
    Result<std::vector<TenantSample>> all(std::vector<std::string>& faults);
    /// Errors: not_found.
    Result<TenantSample> one(std::string_view id);

    /// The books of a tenant's life.
    [[nodiscard]] Books books(const TenantRecord& record) const { return {m_files, m_slots, record.id, record.uid}; }

  private:
    void refresh_gauges() const;
    [[nodiscard]] bool is_complete(const TenantRecord& record) const;
    Result<TenantSample> sample(const TenantRecord& record) const;

    Catalog& m_catalog;
    TenantFiles& m_files;
    const SlotFile* m_slots;
    const TenantManager* m_manager;
};

}  // namespace mt
