#pragma once

#include "base/error.h"
#include "limit/budget_account.h"
#include "limit/gcra.h"
#include "limit/limits.h"

namespace mt {

/// What the limits that a call has to pass say of it.
struct Verdict {
    gcra::Decision requests;
    gcra::Decision tokens;
    BudgetAccount::Decision budget;

    [[nodiscard]] bool possible() const { return requests.possible && tokens.possible && budget.possible; }
    [[nodiscard]] bool allowed() const { return requests.allowed && tokens.allowed && budget.allowed; }
};

/// The refusal of a call by limits with these settings, as Limits::admit() returns it: names a limit that the call
/// never fits or, where waiting helps, the one that must be waited for longest, so that one wait is enough. `cost` is
/// what was refused. Pure.
Error refuse(const LimitSettings& settings, const Verdict& verdict, Cost cost);

/// The refusal of a call because too many are in flight.
Error refuse_concurrency(const LimitSettings& settings);

}  // namespace mt
