#pragma once

#include <atomic>
#include <cstdint>

#include "limit/gcra.h"
#include "limit/limits.h"

namespace mt {

/// How a bucket measures: an amount is `unit` units, of which `rate` flow in each minute, and it holds `burst` amounts.
/// A rate of 0 means no limit.
struct Scale {
    std::int64_t unit = 1;
    std::int64_t rate = 0;
    std::int64_t burst = 0;

    bool operator==(const Scale&) const = default;
};

/// Requests come one by one, and the rounding of each would add up: of a burst of 7 at 7 per minute only 6 would fit at
/// once. So they are measured in the nanoseconds of their interval, ceil(60e9 / rate), and every sum of them is exact.
Scale request_scale(const LimitSettings& settings);

/// Tokens come in large amounts and are measured as they are.
Scale token_scale(const LimitSettings& settings);

/// One GCRA bucket over a stored arrival time, which is left alone while there is no limit. Not thread-safe but for the
/// atomic it stores to: the Limits that own it hold their mutex. `tat_ns` must outlive it; `now` is Clock::boot_ns.
class Bucket {
  public:
    Bucket(std::atomic<std::int64_t>& tat_ns, const Scale& scale) : m_tat_ns(tat_ns), m_scale(scale) {}

    /// Decides without charging; take() charges what was allowed.
    gcra::Decision decide(std::int64_t now, std::int64_t amount);
    void take(const gcra::Decision& decision) { store(decision.tat_ns); }

    /// Gives back what of a reservation that ends at `mark` has not flowed back. Returns how much, in nanoseconds.
    std::int64_t give_back(std::int64_t mark, std::int64_t now, std::int64_t reserved, std::int64_t used);

    /// Charges `amount` without asking, as debt.
    void owe(std::int64_t now, std::int64_t amount);

    /// Takes a stored time that lies further than one capacity in the future back to it.
    void clamp(std::int64_t now);

    /// Measures with `scale` from now on: the used amount stays, up to the new capacity.
    void reconfigure(std::int64_t now, const Scale& scale);

    /// The time line's `time` on another scale, for the same amount; 0 where one of the two has no limit, so that
    /// nothing is given back.
    [[nodiscard]] std::int64_t convert(std::int64_t time, std::int64_t now, const Scale& scale) const;

    [[nodiscard]] const Scale& scale() const { return m_scale; }
    /// Amount that would be allowed now. Only where there is a limit.
    [[nodiscard]] std::int64_t remaining(std::int64_t now) const;
    /// Nanoseconds until nothing is used.
    [[nodiscard]] std::int64_t reset_ns(std::int64_t now) const { return tat() <= now ? 0 : tat() - now; }

  private:
    [[nodiscard]] bool unlimited() const { return m_scale.rate == 0; }
    [[nodiscard]] std::int64_t capacity() const { return m_scale.burst * m_scale.unit; }
    [[nodiscard]] std::int64_t units(std::int64_t amount) const;
    [[nodiscard]] std::int64_t tat() const { return m_tat_ns.load(std::memory_order_relaxed); }
    void store(std::int64_t time);

    std::atomic<std::int64_t>& m_tat_ns;
    Scale m_scale;
};

}  // namespace mt
