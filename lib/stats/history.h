#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "sqlite/tenant_files.h"
#include "stats/ledger_store.h"
#include "stats/totals.h"

namespace mt {

/// The statistics in ONE tenant's own file: each writer's absolute totals, and what was counted in each minute, hour
/// and month (UTC). Both are written in one transaction, so that the totals of all writers are the sum of the history,
/// always. Time in older parts is as fine as they are: an hour counts at its begin. Cheap to make; `files` must outlive
/// it. Thread-safe.
///
/// Every method: what the tenant's file says.
class History {
  public:
    History(TenantFiles& files, std::string_view tenant, std::string_view writer)
        : m_files(files), m_tenant(tenant), m_writer(writer) {}

    Result<StoredTotals> totals();

    /// Raises this writer's totals to `now`; the difference counts in the minute of `at`.
    Result<void> write(const Totals& now, WallTime at);
    /// The same, and takes over the totals of all other writers, which will write no more. Returns this writer's new
    /// totals, theirs included.
    Result<Totals> adopt(const Totals& now, WallTime at);
    /// Turns what is older at `at` than the retention into coarser parts.
    Result<void> fold(WallTime at, const Retention& retention);

    /// The stored totals and the history over a span, of one moment, in steps that begin at whole multiples of `step`
    /// since 1970; empty ones are left out. `step`: at least a minute.
    Result<LedgerSnapshot> read(const TimeSpan& span, std::chrono::seconds step);

  private:
    TenantFiles& m_files;
    std::string m_tenant;
    std::string m_writer;
};

}  // namespace mt
