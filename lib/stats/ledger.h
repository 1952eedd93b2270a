#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "sqlite/tenant_files.h"
#include "stats/history.h"
#include "stats/slot_file.h"
#include "stats/tenant_series.h"
#include "stats/totals.h"

namespace mt {

/// How one call ended, for counting. Each call is recorded exactly once.
struct CallRecord {
    Counter outcome = Counter::served;  ///< served, failed, unauthorized or one of denied_*
    std::chrono::nanoseconds latency{};
    std::int64_t tokens_in = 0;
    std::int64_t tokens_out = 0;
    std::optional<bool> cache_hit{};  ///< nothing: the cache was not asked
};

/// The numbers of ONE tenant while it is loaded: its slot. Thread-safe.
class TenantCounters {
  public:
    /// `on_change` is told when something is counted for the first time since settle(). The slot outlives this.
    TenantCounters(Slot& slot, std::function<void()> on_change) : m_slot(slot), m_on_change(std::move(on_change)) {}
    TenantCounters(const TenantCounters&) = delete;
    TenantCounters& operator=(const TenantCounters&) = delete;
    ~TenantCounters() = default;

    void record(const CallRecord& call);
    [[nodiscard]] Totals totals() const { return m_slot.totals(); }
    [[nodiscard]] Slot& slot() { return m_slot; }
    [[nodiscard]] const Slot& slot() const { return m_slot; }

    /// The totals to be written now; whatever is not among them is told to `on_change`.
    [[nodiscard]] Totals settle();

  private:
    Slot& m_slot;
    std::function<void()> m_on_change;
    std::atomic<bool> m_changed{false};
};

/// How the writing goes.
struct LedgerHealth {
    std::int64_t failing_tenants = 0;  ///< whose numbers could not be written last time
    std::int64_t failed_writes = 0;    ///< since the start
    std::int64_t written = 0;          ///< tenants' numbers written since the start
    std::optional<Error> fault{};      ///< why none at all could be written last time, for want of disk or rights
};

/// The ledger: live counts in slots, written once a second into each changed tenant's own file, as this writer's
/// absolute totals and as the difference in the history, in one transaction (History). Whoever counts never waits for
/// it. Thread-safe.
class Ledger {
  public:
    /// All references must outlive the ledger. `most_series`: tenants with time series of their own.
    Ledger(SlotFile& slots, TenantFiles& files, const Clock& clock, Log& log, std::size_t most_series = 1000);
    Ledger(const Ledger&) = delete;
    Ledger& operator=(const Ledger&) = delete;
    ~Ledger();

    /// Counters of a tenant's life, loaded at first. This data folder has one writer at a time, so what others have
    /// counted is finished, and is taken over. Errors: storage_full (no slot), what the tenant's file says.
    Result<std::shared_ptr<TenantCounters>> open(const std::string& tenant, const std::string& uid);

    /// Writes what changed, into the minute of now. What failed is tried again at the next call, nothing is lost.
    /// Returns the first error.
    Result<void> flush();

    /// Forgets a tenant that is being removed and releases its slot; nobody may use its counters any more.
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
