#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "stats/slot_file.h"
#include "stats/totals.h"

namespace mt {

/// How one call ended, for counting. Each call is recorded exactly once.
struct CallRecord {
    Counter outcome = Counter::served;  ///< served, failed, unauthorized or one of denied_*
    std::chrono::nanoseconds latency{};
    std::int64_t tokens_in = 0;
    std::int64_t tokens_out = 0;
    std::optional<bool> cache_hit{};  ///< nothing: the cache was not asked
};

/// The numbers of ONE tenant while it is loaded: its slot. Thread-safe.
class TenantCounters {
  public:
    /// `on_change` is told when something is counted for the first time since settle(). The slot outlives this.
    TenantCounters(Slot& slot, std::function<void()> on_change) : m_slot(slot), m_on_change(std::move(on_change)) {}
    TenantCounters(const TenantCounters&) = delete;
    TenantCounters& operator=(const TenantCounters&) = delete;
    ~TenantCounters() = default;

    void record(const CallRecord& call);
    [[nodiscard]] Totals totals() const { return m_slot.totals(); }
    [[nodiscard]] Slot& slot() { return m_slot; }
    [[nodiscard]] const Slot& slot() const { return m_slot; }

    /// The totals to be written now; whatever is not among them is told to `on_change`.
    [[nodiscard]] Totals settle();

  private:
    Slot& m_slot;
    std::function<void()> m_on_change;
    std::atomic<bool> m_changed{false};
};

}  // namespace mt
