#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "sqlite/tenant_files.h"
#include "stats/ledger_store.h"
#include "stats/slot_file.h"
#include "stats/tenant_counters.h"
#include "stats/tenant_series.h"

namespace mt {

/// How the writing goes.
struct LedgerHealth {
    std::int64_t failing_tenants = 0;  ///< whose numbers could not be written last time
    std::int64_t failed_writes = 0;    ///< since the start
    std::int64_t written = 0;          ///< tenants' numbers written since the start
    std::optional<Error> fault{};      ///< why none at all could be written last time, for want of disk or rights
};

/// The ledger: live counts in slots, written once a second into the store, as this writer's absolute totals and as the
/// difference in the history, in one transaction (LedgerStore). Whoever counts never waits for it. Thread-safe.
///
/// In a shared store a slot holds what this writer alone has counted, ever; slots of a former process with the same
/// slot file are written with the first flush, whether somebody opens them or not.
class Ledger {
  public:
    /// All references must outlive the ledger. `store` works for the writer of `slots`. `most_series`: tenants with
    /// time series of their own.
    Ledger(SlotFile& slots, LedgerStore& store, const Clock& clock, Log& log, std::size_t most_series = 1000);
    /// The same over the tenants' own files.
    Ledger(SlotFile& slots, TenantFiles& files, const Clock& clock, Log& log, std::size_t most_series = 1000);
    Ledger(const Ledger&) = delete;
    Ledger& operator=(const Ledger&) = delete;
    ~Ledger();

    /// Counters of a tenant's life, loaded at first. Where one writes at a time, what others have counted is finished,
    /// and is taken over. Errors: storage_full (no slot), what the store says.
    Result<std::shared_ptr<TenantCounters>> open(const std::string& tenant, const std::string& uid);

    /// Writes what changed, into the minute of now. What failed is tried again at the next call, nothing is lost.
    /// Returns the first error.
    Result<void> flush();

    /// Forgets a tenant that is being removed and releases its slot; nobody may use its counters any more. What is
    /// stored of it is LedgerStore::erase's.
    void erase(const std::string& tenant, const std::string& uid);

    /// Starts the thread that flushes at every full second. Faults are logged when they start and end.
    void start();
    /// Ends the thread and flushes a last time. Idempotent.
    Result<void> stop();

    [[nodiscard]] LedgerHealth health() const;
    [[nodiscard]] TenantSeries& series();

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt
