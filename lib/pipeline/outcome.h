#pragma once

#include <optional>
#include <string_view>

#include "base/result.h"
#include "pipeline/call.h"
#include "stats/totals.h"

namespace mt {

/// The counter that a finished call belongs to (DESIGN 4.4), or nothing when it belongs to no tenant's numbers. Asked
/// while the call still has its permit.
std::optional<Counter> counter_of(const Call& call, const Result<void>& outcome);

/// "served", "failed", "denied", "unauthorized" or "invalid", of what a call counts as.
std::string_view outcome_word(std::optional<Counter> counter);

/// HTTP status of the reply; 200 for a success.
int status_of(const Result<void>& outcome);

/// Which limit refused, or the word of the error's code; "" for a success.
std::string_view reason_of(const Result<void>& outcome);

/// Something of ours or behind us failed.
bool is_fault(const Result<void>& outcome);

/// Tokens that the call has used; an answer from the cache has been paid for before.
Usage used_by(const Call& call);

}  // namespace mt
