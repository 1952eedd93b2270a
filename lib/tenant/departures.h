#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "stats/ledger.h"

namespace mt {

/// Erases a removed tenant's data that lies outside of the catalog and the ledger. Called again after an error, and by
/// every process of a shared catalog: erasing what is gone is no error. The record may be all that is left of the
/// tenant.
using EraseData = std::function<Result<void>(const TenantRecord&)>;

/// Tenants that have been let go of and whose calls may still run. Each is erased after its last call here; where other
/// processes serve, too, not before they have had the time to let go as well. Thread-safe; at most one thread at a time
/// erases the same tenant. References must outlive it.
class Departures {
  public:
    Departures(Catalog& catalog, Ledger& ledger, const Clock& clock, Log& log)
        : m_catalog(catalog), m_ledger(ledger), m_clock(clock), m_log(log) {}

    /// Before anybody leaves.
    void set_erase_data(EraseData erase_data) { m_erase_data = std::move(erase_data); }

    /// A life leaves; one that is here already stays as it is. `counters`: of the tenant as loaded, or null: then of
    /// the record id and uid are enough.
    void add(const TenantRecord& record, const std::shared_ptr<TenantCounters>& counters);

    /// Erases those whose time has come. Errors: what the catalog says; data that cannot be erased now is logged, and
    /// tried again by a later call.
    Result<void> erase_ended();

    [[nodiscard]] bool empty() const;

  private:
    // All generations of a tenant share its counters; once the ledger alone holds them, the last call of the last
    // generation has ended.
    struct Leaving {
        TenantRecord record;
        std::weak_ptr<TenantCounters> counters;
        bool served = false;        // here
        std::int64_t due_ns = 0;    // Clock::boot_ns; not tried before
        std::int64_t pause_ns = 0;  // before the next attempt
        bool in_work = false;
        bool is_told = false;  // that its data could not be erased

        [[nodiscard]] bool ended() const { return counters.use_count() <= 1; }
    };
    using Place = std::list<Leaving>::iterator;

    Place next();
    Result<void> erase(Leaving& gone);
    Result<bool> erase_data(Leaving& gone);

    Catalog& m_catalog;
    Ledger& m_ledger;
    const Clock& m_clock;
    Log& m_log;
    EraseData m_erase_data;
    mutable std::mutex m_mutex;  // guards the list, but not what is in work
    std::list<Leaving> m_leaving;
};

}  // namespace mt
