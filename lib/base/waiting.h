#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/context.h"
#include "base/result.h"

namespace mt {

/// Waits until `until_ns` (Clock::boot_ns) in a BlockingRegion, telling the context's idle hook. Errors: client_gone
/// when its token fires, timeout when its deadline comes first, busy (too many threads wait already).
Result<void> wait_until(std::int64_t until_ns, const Clock& clock, const Context& context);

}  // namespace mt
