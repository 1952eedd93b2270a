#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/clock.h"

namespace mt {

struct RetrySettings {
    int retries = 2;                           ///< attempts after the first
    std::chrono::milliseconds first{250};      ///< longest wait before the first of them; doubled for each further one
    std::chrono::milliseconds longest{8'000};  ///< bound of the doubling
    /// A server that asks for a longer wait than this is not asked again.
    std::chrono::milliseconds patience{60'000};
};

/// Wait before retry number `retry` (from 0): exponential, with jitter over its upper half so that those who failed
/// together do not come back together. `random` in [0, 1). Pure.
std::chrono::nanoseconds backoff(const RetrySettings& settings, int retry, double random);

/// True for statuses that another attempt may mend: 408, 409, 429 and 5xx.
bool is_worth_retrying(int status);

/// What a server asks for: Retry-After-Ms (milliseconds), or Retry-After in seconds or as an HTTP date (RFC 9110
/// sections 10.2.3 and 5.6.7). Nothing for what is absent or no such value.
std::optional<std::chrono::nanoseconds> parse_retry_after(std::string_view retry_after, std::string_view retry_after_ms,
                                                          WallTime now);

}  // namespace mt
