#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sqlite/tenant_files.h"
#include "stats/ledger_store.h"
#include "stats/slot_file.h"
#include "stats/totals.h"

namespace mt {

/// The numbers of ONE tenant's life from wherever they are: its slot, which is always up to date, and the store, which
/// has the history and what other writers counted. What the slot is ahead of the store, by at most a second, counts as
/// of now. Needs no server of ours, and disturbs none. Thread-safe.
///
/// Every method: what the store says.
class Books {
  public:
    /// `slots`: of the writer for whom `store` works; null where there are none. References must outlive this.
    Books(LedgerStore& store, const SlotFile* slots, Life life);
    /// The same over the tenants' own files.
    Books(TenantFiles& files, const SlotFile* slots, std::string_view tenant, std::string_view uid);

    /// Everything ever counted. `created`: of the tenant; its own file is left alone where it can hold nothing.
    Result<Totals> totals(WallTime created);
    /// What was counted over `span`, which includes what is not written yet when it reaches `now`.
    Result<Totals> counted_in(const TimeSpan& span, WallTime now);
    /// The same step by step (LedgerStore::read); what is not written yet is in the step of `now`.
    Result<std::vector<Period>> series(const TimeSpan& span, std::chrono::seconds step, WallTime now);

    /// What a proof of the books found.
    struct Verdict {
        std::vector<std::string> faults;
        Totals unwritten;  ///< what the slot is ahead of the store
    };
    /// Proves that the stored totals are the sum of the history, and that the slot is not behind them.
    Result<Verdict> verify();

  private:
    [[nodiscard]] const Slot* slot() const;
    [[nodiscard]] Totals unwritten(const StoredTotals& stored) const;

    const SlotFile* m_slots;
    Life m_life;
    std::unique_ptr<LedgerStore> m_own_store;  ///< null: somebody else's
    LedgerStore& m_store;
};

/// A tenant's totals of all writers; `slot`: its live numbers of the writer who read `stored`, null: none.
Totals live_totals(const StoredTotals& stored, const Slot* slot);

}  // namespace mt
