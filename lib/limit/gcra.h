#pragma once

#include <cstdint>

namespace mt::gcra {

// Generic cell rate algorithm (ITU-T I.371) as a token bucket in integer nanoseconds. TAT is the theoretical arrival
// time: the moment at which the bucket is full again. All functions are pure; amounts are requests or tokens.

/// Nanoseconds that `amount` occupies at `rate` per minute: ceil(amount * 60e9 / rate), computed in 128 bits and
/// saturated at about 146 years. `rate` must be at least 1.
std::int64_t cost_ns(std::int64_t amount, std::int64_t rate);

/// Outcome of one decision.
struct Decision {
    bool allowed = false;
    bool possible = true;         ///< false: the amount is larger than the burst, waiting never helps
    std::int64_t tat_ns = 0;      ///< the new TAT when allowed, the old one (clamped) otherwise
    std::int64_t retry_in_ns = 0; ///< denied and possible: the smallest wait after which this amount is allowed
};

/// base = max(TAT, now); new = base + cost(amount); allowed when new - now <= cost(burst).
Decision decide(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t amount, std::int64_t rate, std::int64_t burst);

/// Amount that would be allowed at `now`.
std::int64_t remaining(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t rate, std::int64_t burst);

/// TAT after `amount` of an earlier reservation is given back: never earlier than now, so that what has already flowed
/// back is not given twice.
std::int64_t refund(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t amount, std::int64_t rate);

}  // namespace mt::gcra
