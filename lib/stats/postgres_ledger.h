#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "postgres/pool.h"
#include "stats/ledger_store.h"

namespace mt {

/// Brings the tables of the ledger to their newest version: schema "mtagent", part "ledger". Errors: as
/// postgres::migrate.
Result<void> migrate_ledger(postgres::Pool& pool);

/// The ledger in PostgreSQL, which many writers share: a row of absolute totals for each tenant's life (uid) and
/// writer, and the differences of all writers together in rows of minutes, hours and months.
///
/// A writer that is silent for a day is folded: its rows become part of one row per life, of the writer ''. Time counts
/// only while the database hears of somebody, so that its own absence makes nobody silent. A folded writer that goes on
/// takes its numbers out of there again, which it remembers; one that has ended must not go on: see enter().
///
/// Every transaction leaves its own word in the writer's row (`round`), by which a commit of unknown outcome is
/// recognized later, and a server that has gone back to an older state.
///
/// Thread-safe for readers, take_over and erase; one thread at a time writes and tends. References must outlive it.
class PostgresLedger final : public LedgerStore {
  public:
    struct Options {
        Retention retention{};
        std::chrono::milliseconds silence = std::chrono::hours{24};  ///< after which a writer is folded
    };

    /// `writer`: SlotFile::writer(); empty: only reads, the numbers of all writers are others'.
    PostgresLedger(postgres::Pool& pool, std::string writer, const Clock& clock, const Options& options);
    PostgresLedger(postgres::Pool& pool, std::string writer, const Clock& clock)
        : PostgresLedger(pool, std::move(writer), clock, Options{}) {}

    /// Before anything is counted: notes the writer, and reads what it has written. False: it was folded, its slot file
    /// is stale and must be set aside. Not for readers.
    Result<bool> enter();

    [[nodiscard]] bool is_shared() const override { return true; }
    Result<StoredTotals> totals(const Life& life) override;
    Result<LedgerSnapshot> read(const Life& life, const TimeSpan& span, std::chrono::seconds step) override;
    Result<std::optional<std::map<std::string, StoredTotals>>> all() override;
    /// Asks nobody: what was stored is known since enter().
    Result<Totals> take_over(const Life& life, const Totals& live, WallTime at) override;
    [[nodiscard]] std::size_t most_entries() const override { return 256; }
    Result<void> write(std::span<const Entry> entries, WallTime at) override;
    /// Nothing: see tend().
    Result<void> fold(const Life& life, WallTime at) override;
    /// Says that this writer lives, folds silent ones, and once an hour makes old parts coarser, each in small steps.
    Result<bool> tend(WallTime at) override;
    Result<void> erase(const std::string& uid) override;

  private:
    enum class Attempt { done, folded, unknown };
    using Written = std::vector<std::pair<std::string, Totals>>;  // uid and totals

    Result<void> load_own();
    Result<Attempt> attempt(std::span<const Entry> entries, WallTime at);
    Result<Attempt> write_round(postgres::Session& session, const std::string& round, std::span<const Entry> entries,
                                WallTime at);
    void note_round(const std::string& last);
    void confirm(const std::string& round, const Written& written);
    Result<void> rejoin();
    Result<void> unfold();
    Result<void> beat();
    Result<bool> fold_some();
    Result<bool> coarsen_some(WallTime at);
    Result<bool> alone(const std::function<Result<void>(postgres::Session&)>& work);

    postgres::Pool& m_pool;
    const std::string m_writer;
    const Clock& m_clock;
    const Options m_options;

    std::mutex m_mutex;                                 // guards the next; held for moments only
    std::unordered_map<std::string, Totals> m_written;  // by uid: this writer's rows

    // Of whoever writes and tends.
    std::string m_round;                                    // the last one that is known to be stored; empty: none yet
    std::optional<std::pair<std::string, Written>> m_open;  // a round whose outcome is unknown
    bool m_rewound = false;                                 // the server forgot rounds
    std::optional<std::int64_t> m_beat_ns;
    std::optional<std::int64_t> m_folded_ns;
    std::int64_t m_coarsened_hour = -1;
};

}  // namespace mt
