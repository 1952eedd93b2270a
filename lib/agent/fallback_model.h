#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "agent/model.h"

namespace mt {

/// Asks `first`, and `second` when it fails before anything was told to the sink: when it is unavailable, too late or
/// fails; not when the request itself is at fault, or the client left. `fallbacks` counts, and may be null; it lives as
/// long as `first`.
std::shared_ptr<Model> with_fallback(std::shared_ptr<Model> first, std::shared_ptr<Model> second,
                                     std::atomic<std::int64_t>* fallbacks);

}  // namespace mt
