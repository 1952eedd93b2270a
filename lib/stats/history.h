#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "sqlite/tenant_files.h"
#include "stats/totals.h"

namespace mt {

/// How long a tenant's file keeps its history, so that it stays bounded: minutes become hours, hours become months.
struct Retention {
    std::chrono::hours minutes{31 * 24};
    std::chrono::hours hours{400 * 24};  ///< thirteen months and some days
};

/// Absolute totals as a tenant's file has them.
struct StoredTotals {
    Totals own;     ///< of the writer who asks
    Totals others;  ///< of all others
};

/// Part of a history: what was counted from `start` on, until the next step.
struct Period {
    WallTime start{};
    Totals totals;

    friend bool operator==(const Period&, const Period&) = default;
};

/// A stretch of time, `to` excluded. The history knows nothing finer than minutes: both ends count from the minute in
/// which they lie.
struct TimeSpan {
    WallTime from{};
    WallTime to = WallTime::max();
};

/// The statistics in ONE tenant's own file: each writer's absolute totals, and what was counted in each minute, hour
/// and month (UTC). Both are written in one transaction, so that the totals of all writers are the sum of the history,
/// always. Time in older parts is as fine as they are: an hour counts at its begin. Cheap to make; `files` must outlive
/// it. Thread-safe.
///
/// Every method: what the tenant's file says.
class History {
  public:
    History(TenantFiles& files, std::string_view tenant, std::string_view writer)
        : m_files(files), m_tenant(tenant), m_writer(writer) {}

    Result<StoredTotals> totals();

    /// Raises this writer's totals to `now`; the difference counts in the minute of `at`.
    Result<void> write(const Totals& now, WallTime at);
    /// The same, and takes over the totals of all other writers, which will write no more. Returns this writer's new
    /// totals, theirs included.
    Result<Totals> adopt(const Totals& now, WallTime at);
    /// Turns what is older at `at` than the retention into coarser parts.
    Result<void> fold(WallTime at, const Retention& retention);

    /// The stored totals and the history over a span, of one moment.
    struct Snapshot {
        StoredTotals stored;
        std::vector<Period> periods;
    };
    /// In steps that begin at whole multiples of `step` since 1970; empty ones are left out. `step`: at least a minute.
    Result<Snapshot> read(const TimeSpan& span, std::chrono::seconds step);

  private:
    TenantFiles& m_files;
    std::string m_tenant;
    std::string m_writer;
};

/// All that a Totals holds, by name; latency buckets are "latency_le_<bound in us>" and "latency_le_inf".
inline constexpr std::size_t k_values = k_counters + k_buckets;
const std::string& value_name(std::size_t value);
std::int64_t& value_at(Totals& totals, std::size_t value);
std::int64_t value_at(const Totals& totals, std::size_t value);

}  // namespace mt
