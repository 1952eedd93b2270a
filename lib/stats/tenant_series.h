#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "stats/metrics.h"
#include "stats/slot_file.h"

namespace mt {

/// Which tenants have time series of their own in /metrics. The first `most` that are seen keep theirs until the end of
/// the process, removed or not; a new life of an id goes on from where the old one ended. All others add up in one
/// tenant "_other". So no counter ever falls, and no series comes and goes. Thread-safe; no request waits for it.
class TenantSeries {
  public:
    static constexpr std::string_view k_other = "_other";

    /// `slots` must outlive this.
    TenantSeries(SlotFile& slots, std::size_t most) : m_slots(slots), m_most(most) {}

    /// A listing has a tenant with this life. It may be out of date: it replaces no life that is known.
    void see(const std::string& tenant, const std::string& uid);
    /// A tenant's life begins to count. To be told before its slot is taken.
    void begin(const std::string& tenant, const std::string& uid);
    /// True when whoever is new now has no series of its own.
    [[nodiscard]] bool full() const;
    /// A life ends: keeps what it counted, and releases its slot.
    void retire(const std::string& tenant, const std::string& uid);

    /// In the order in which they were seen; "_other" last, where there is any.
    [[nodiscard]] std::vector<TenantSample> samples() const;

  private:
    struct Series {
        std::string tenant;
        std::string uid;  ///< of the present life, empty: removed
        Totals former;    ///< of lives before it
    };

    Series* find_or_add(const std::string& tenant);

    SlotFile& m_slots;
    const std::size_t m_most;
    mutable std::mutex m_mutex;
    std::vector<Series> m_series;
    std::unordered_map<std::string, std::size_t> m_by_tenant;
    Totals m_former_others;
};

}  // namespace mt
