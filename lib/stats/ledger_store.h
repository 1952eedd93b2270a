#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "stats/totals.h"

namespace mt {

/// How long a history is kept as fine as it is, so that it stays bounded: minutes become hours, hours become months.
struct Retention {
    std::chrono::hours minutes{31 * 24};
    std::chrono::hours hours{400 * 24};  ///< thirteen months and some days
};

/// Absolute totals as they are stored.
struct StoredTotals {
    Totals own;           ///< of the writer who asks
    Totals others;        ///< of all others
    bool folded = false;  ///< what the asking writer had written is among the others: its slots add nothing to it
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

/// The stored totals and the history over a span, of one moment.
struct LedgerSnapshot {
    StoredTotals stored;
    std::vector<Period> periods;
};

/// One life of a tenant's id.
struct Life {
    std::string tenant;  ///< id; may be empty where the store goes by the uid alone
    std::string uid;
};

/// Where statistics are at rest: absolute totals of every writer, and what was counted in each minute, hour and month
/// (UTC) by all of them, such that the totals of a tenant's writers are the sum of its history, always. One object
/// works for one writer, or only reads. Thread-safe.
///
/// Every method: what the file or the server says; unavailable while a server is away.
class LedgerStore {
  public:
    LedgerStore() = default;
    LedgerStore(const LedgerStore&) = delete;
    LedgerStore& operator=(const LedgerStore&) = delete;
    virtual ~LedgerStore() = default;

    /// True: many writers write side by side, a slot holds the numbers of this one alone, and when a write fails for
    /// want of the store it fails for every tenant. False: one writer at a time, whose slot holds everything.
    [[nodiscard]] virtual bool is_shared() const = 0;

    virtual Result<StoredTotals> totals(const Life& life) = 0;
    /// Periods begin at whole multiples of `step` (at least a minute) since 1970; empty ones are left out.
    virtual Result<LedgerSnapshot> read(const Life& life, const TimeSpan& span, std::chrono::seconds step) = 0;
    /// Of all tenants that have any, by uid; nothing where each tenant's numbers lie apart from the others'.
    virtual Result<std::optional<std::map<std::string, StoredTotals>>> all() = 0;

    /// Before a slot counts: returns what it must hold at least, this writer's stored totals. `live`: what it holds.
    /// Where there is one writer at a time, the totals of former ones are taken over first, in the minute of `at`.
    virtual Result<Totals> take_over(const Life& life, const Totals& live, WallTime at) = 0;

    /// What a writer has counted for one tenant, ever.
    struct Entry {
        Life life;
        Totals now;
    };
    /// Entries that one write() should have at most.
    [[nodiscard]] virtual std::size_t most_entries() const = 0;
    /// Raises this writer's totals; the differences count in the minute of `at`. All entries are written or none; after
    /// an error nobody may know which, and writing them again counts nothing twice.
    virtual Result<void> write(std::span<const Entry> entries, WallTime at) = 0;

    /// Turns what is older at `at` than the retention into coarser parts, for one tenant. To be called once an hour for
    /// those who count. Nothing where tend() does it for all.
    virtual Result<void> fold(const Life& life, WallTime at) = 0;
    /// What is to be done beside writing; to be called every second, also without traffic. Returns true when what was
    /// written is no longer there (a server went back to an older state): everything is to be written again.
    virtual Result<bool> tend(WallTime at) = 0;

    /// Erases the numbers of a life that has ended, for good: whoever still writes some writes nothing. Idempotent.
    virtual Result<void> erase(const std::string& uid) = 0;
};

}  // namespace mt
