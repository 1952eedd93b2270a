#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "sqlite/tenant_files.h"
#include "stats/slot_file.h"
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

/// The numbers of ONE tenant while it is loaded: its slot, and what other writers counted before. Thread-safe.
class TenantCounters {
  public:
    TenantCounters(Slot& slot, const Totals& others) : m_slot(slot), m_others(others) {}

    void record(const CallRecord& call);
    [[nodiscard]] Totals totals() const;
    [[nodiscard]] Slot& slot() { return m_slot; }
    [[nodiscard]] const Slot& slot() const { return m_slot; }

  private:
    Slot& m_slot;
    Totals m_others;
};

/// The ledger: live counts in slots, written once a second into each changed tenant's own file, as this writer's
/// absolute totals and as the difference in the row of the present minute, in one transaction. Totals of a tenant are
/// the sum over writers. Thread-safe.
class Ledger {
  public:
    /// All references must outlive the ledger.
    Ledger(SlotFile& slots, TenantFiles& files, const Clock& clock, Log& log);
    Ledger(const Ledger&) = delete;
    Ledger& operator=(const Ledger&) = delete;
    ~Ledger();

    /// Counters of a tenant's life, loaded at first. Errors: storage_full (no slot), what the tenant's file says.
    Result<std::shared_ptr<TenantCounters>> open(const std::string& tenant, const std::string& uid);

    /// Writes what changed. What failed is tried again at the next call, nothing is lost. Returns the first error.
    Result<void> flush();
    /// The same for one tenant's life; an unknown one is no error.
    Result<void> flush(const std::string& uid);

    /// Forgets a tenant that is being removed and clears its slot; nobody may use its counters any more.
    void erase(const std::string& tenant, const std::string& uid);

    /// Starts the thread that flushes every second. Faults are logged when they start and end.
    void start();
    /// Ends the thread and flushes a last time. Idempotent.
    Result<void> stop();

    /// Why no tenant's numbers at all could be written last time, for want of disk or rights; nothing while any could,
    /// or when the fault is one tenant's own. For readiness.
    [[nodiscard]] std::optional<Error> fault() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

/// Totals of a tenant that is not loaded in this process: its stored rows, and its slot where that is newer. `slots`
/// may be null. Errors: what the tenant's file says.
Result<Totals> stored_totals(TenantFiles& files, const SlotFile* slots, std::string_view tenant, std::string_view uid);

/// Proves a tenant's books: its totals are the sum of its minutes, and its slot is not behind its totals. Returns one
/// line per fault. `slots` may be null. Errors: what the tenant's file says.
Result<std::vector<std::string>> verify_ledger(TenantFiles& files, const SlotFile* slots, std::string_view tenant,
                                               std::string_view uid);

/// Sum of the minute rows from `since` on.
Result<Totals> totals_since(TenantFiles& files, std::string_view tenant, WallTime since);

}  // namespace mt
