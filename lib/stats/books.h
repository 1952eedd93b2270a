#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sqlite/tenant_files.h"
#include "stats/history.h"
#include "stats/slot_file.h"
#include "stats/totals.h"

namespace mt {

/// The numbers of ONE tenant's life from wherever they are: its slot, which is always up to date, and its file, which
/// has the history. What the slot is ahead of the file, by at most a second, counts as of now. Needs no server, and
/// disturbs none. Thread-safe.
///
/// Every method: what the tenant's file says.
class Books {
  public:
    /// `slots`: null where no server has ever run. References must outlive this.
    Books(TenantFiles& files, const SlotFile* slots, std::string_view tenant, std::string_view uid);

    /// Everything ever counted. `created`: of the tenant; its file is left alone where it can hold nothing.
    Result<Totals> totals(WallTime created);
    /// What was counted over `span`, which includes what is not written yet when it reaches `now`.
    Result<Totals> counted_in(const TimeSpan& span, WallTime now);
    /// The same step by step (History::series); what is not written yet is in the step of `now`.
    Result<std::vector<Period>> series(const TimeSpan& span, std::chrono::seconds step, WallTime now);

    /// What a proof of the books found.
    struct Verdict {
        std::vector<std::string> faults;
        Totals unwritten;  ///< what the slot is ahead of the file
    };
    /// Proves that the totals in the file are the sum of its history, and that the slot is not behind the file.
    Result<Verdict> verify();

  private:
    [[nodiscard]] Totals unwritten(const Totals& stored) const;

    const SlotFile* m_slots;
    std::string m_tenant;
    std::string m_uid;
    History m_history;
};

}  // namespace mt
