#pragma once

#include <cstdint>

namespace mt::gcra {

// Generic cell rate algorithm (ITU-T I.371) as a token bucket in integer nanoseconds. TAT is the theoretical arrival
// time: the moment at which the bucket is full again. All functions are pure; amounts are requests or tokens, rates are
// amounts per minute and at least 1, `now_ns` is Clock::boot_ns. The capacity is cost_ns(burst).

/// Nanoseconds that `amount` occupies at `rate`: ceil(amount * 60e9 / rate), computed in 128 bits and saturated at
/// 2^61 ns (73 years), so that sums of a time and two capacities fit into 64 bits. 0 for amounts below 1.
std::int64_t cost_ns(std::int64_t amount, std::int64_t rate);

/// Outcome of one decision.
struct Decision {
    bool allowed = false;
    bool possible = true;          ///< false: the amount is larger than the burst, waiting never helps
    std::int64_t tat_ns = 0;       ///< the new TAT when allowed; otherwise the old one, at most two capacities from now
    std::int64_t retry_in_ns = 0;  ///< denied and possible: the smallest wait after which this amount is allowed
};

/// base = max(TAT, now); new = base + cost(amount); allowed when new - now <= cost(burst). An amount of 0 is always
/// allowed. A TAT more than two capacities away (one used, one of debt) is damage and taken as two capacities: storing
/// `tat_ns` of a denial, too, keeps it from locking anybody out.
Decision decide(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t amount, std::int64_t rate, std::int64_t burst);

/// The largest amount that decide() would allow at `now_ns`, at most `burst`.
std::int64_t remaining(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t rate, std::int64_t burst);

/// TAT after a reservation of `reserved` turned out to be `used`: earlier by cost(reserved) - cost(used), but never
/// earlier than now, so that what has already flowed back is not given twice. Unchanged when nothing is left to give.
std::int64_t refund(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t reserved, std::int64_t used,
                    std::int64_t rate);

/// TAT after `amount` more than reserved was used: debt, which takes the TAT at most two capacities from now.
std::int64_t owe(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t amount, std::int64_t rate, std::int64_t burst);

/// TAT at `new_rate` that stands for the same used amount as `tat_ns` at `old_rate`, rounded up.
std::int64_t convert(std::int64_t tat_ns, std::int64_t now_ns, std::int64_t old_rate, std::int64_t new_rate);

}  // namespace mt::gcra
