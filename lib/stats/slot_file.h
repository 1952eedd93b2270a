#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "stats/totals.h"

namespace mt {

/// The live numbers of one tenant in shared memory: they outlive the process that counts. All members are updated with
/// atomic operations; the file's layout is this struct. New members go to the end and mean nothing while they are 0:
/// that is what they are in a slot of an older version.
struct Slot {
    std::array<char, 32> uid;  ///< hexadecimal; zeros: free
    std::array<std::atomic<std::int64_t>, k_counters> counters;
    std::array<std::atomic<std::int64_t>, k_buckets> buckets;
    std::atomic<std::int64_t> request_tat_ns;  ///< limiter state, CLOCK_BOOTTIME
    std::atomic<std::int64_t> token_tat_ns;
    std::atomic<std::int64_t> in_flight;
    std::atomic<std::int64_t> storage_bytes;
    std::atomic<std::int64_t> cache_entries;
    // since version 2
    std::atomic<std::int64_t> budget_used;          ///< limiter state: tokens of ended calls in the budget's period
    std::atomic<std::int64_t> budget_period_start;  ///< days since 1970-01-01
    std::atomic<std::int64_t> budget_tokens;        ///< the budget itself; 0: none

    [[nodiscard]] Totals totals(std::memory_order order = std::memory_order_relaxed) const;
    [[nodiscard]] Gauges gauges() const;
};

/// data/stats.slots: a header and one slot per tenant, memory-mapped. Grows in chunks that never move and are allocated
/// on disk before they are touched, so that a full disk refuses a new tenant instead of killing the process (SIGBUS).
/// Thread-safe. One process writes (the holder of the folder's lock); others may read.
class SlotFile {
  public:
    /// For the one writer: makes or continues the file, converts limiter state after a reboot and a file of an older
    /// version, which keeps all its numbers; an older program refuses it from then on. A file that is no slot file is
    /// set aside as stats.slots.damaged. Errors: version_mismatch (newer), storage_full, unavailable.
    static Result<std::unique_ptr<SlotFile>> open(const std::filesystem::path& path, const Clock& clock);
    /// Renames the file to stats.slots.`why`, so that open() makes a new one. Nobody has it open. Errors: unavailable.
    static Result<void> set_aside(const std::filesystem::path& path, std::string_view why);
    /// For readers beside a writer or without one; a file of an older version is read as it is. Errors: not_found,
    /// failed (no slot file), version_mismatch.
    static Result<std::unique_ptr<SlotFile>> open_read_only(const std::filesystem::path& path);

    SlotFile(const SlotFile&) = delete;
    SlotFile& operator=(const SlotFile&) = delete;
    ~SlotFile();

    /// The slot of a tenant's life, taken at first. It stays where it is until release(). Errors: storage_full.
    Result<Slot*> acquire(std::string_view uid);
    /// nullptr when there is none.
    [[nodiscard]] const Slot* find(std::string_view uid) const;
    /// Clears the slot for the next taker. Nobody may use it any more.
    void release(std::string_view uid);

    /// Calls `visit` with every taken slot. Slots that are taken or released meanwhile may be left out.
    void for_each(const std::function<void(std::string_view uid, const Slot& slot)>& visit) const;

    /// A tenant created at or after this moment has no numbers while it has no slot; before it there may have been
    /// other slot files. Nothing while nobody has said. Kept in the file.
    [[nodiscard]] std::optional<WallTime> complete_since() const;
    void set_complete_since(WallTime since);

    /// True when open() found a file that was none and set it aside.
    [[nodiscard]] bool was_set_aside() const;

    /// Who counts here: 32 hexadecimal digits, new with each new file.
    [[nodiscard]] std::string writer() const;

  private:
    SlotFile();

    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt
