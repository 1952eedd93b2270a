// Reading and writing; what is done beside it: postgres_ledger_tend.cpp.

#include "stats/postgres_ledger.h"

#include <algorithm>

#include "base/ids.h"
#include "stats/postgres_ledger_sql.h"

namespace mt {
namespace {

using postgres::Parameters;
using postgres::Rows;
using postgres::Session;

constexpr std::int64_t k_page = 8192;  // rows of one answer: some megabytes

std::int64_t minutes_of(WallTime time) {
    return std::chrono::floor<std::chrono::minutes>(time).time_since_epoch().count();
}

// All values, from `column` on.
Totals read_values(const Rows& rows, std::size_t row, int column) {
    Totals totals;
    for (std::size_t i = 0; i < k_values; ++i) {
        value_at(totals, i) = rows.integer(row, column + static_cast<int>(i));
    }
    return totals;
}

// Where the rows of the last life begin, of which more may follow: it is read again as a whole, since between two
// statements its rows may be folded.
std::size_t end_of_whole_lives(const Rows& rows) {
    std::size_t end = rows.size();
    const std::string last = rows.text(end - 1, 0);
    while (end > 0 && rows.text(end - 1, 0) == last) {
        --end;
    }
    return end > 0 ? end : rows.size();
}

LedgerSnapshot snapshot_of(const Rows& rows, std::int64_t step_s) {
    LedgerSnapshot snapshot;
    for (std::size_t row = 0; row < rows.size(); ++row) {
        const std::int64_t part = rows.integer(row, 0);
        const std::int64_t start = rows.integer(row, 1);
        const Totals totals = read_values(rows, row, 2);
        if (part == 0) {
            snapshot.stored.own = totals;
            snapshot.stored.folded = start != 0;
        } else if (part == 1) {
            snapshot.stored.others = totals;
        } else {
            snapshot.periods.push_back({WallTime{std::chrono::seconds{start / step_s * step_s}}, totals});
        }
    }
    return snapshot;
}

}  // namespace

Result<void> migrate_ledger(postgres::Pool& pool) {
    return postgres::migrate(pool, {"mtagent", "ledger", ledger_schema()});
}

PostgresLedger::PostgresLedger(postgres::Pool& pool, std::string writer, const Clock& clock, const Options& options)
    : m_pool(pool), m_writer(std::move(writer)), m_clock(clock), m_options(options) {}

Result<bool> PostgresLedger::enter() {
    if (Result<Rows> added = m_pool.query(ledger_sql().add_writer, Parameters().text(m_writer)); !added) {
        return std::move(added).error();
    }
    // From here on nobody folds it for a while.
    Result<Rows> place = m_pool.query(ledger_sql().beat, Parameters().text(m_writer));
    if (!place || place->empty()) {
        return place ? Error{Code::failed, "the ledger has no row of its writer"} : std::move(place).error();
    }
    if (place->boolean(0, 0)) {
        return false;
    }
    if (Result<void> loaded = load_own(); !loaded) {
        return std::move(loaded).error();
    }
    m_round = place->text(0, 1);
    m_beat_ns = m_clock.boot_ns();
    return true;
}

Result<void> PostgresLedger::load_own() {
    std::unordered_map<std::string, Totals> found;
    std::string last;
    for (std::int64_t count = k_page; count == k_page;) {
        const Result<Rows> rows =
            m_pool.query(ledger_sql().own_rows, Parameters().text(m_writer).text(last).integer(k_page));
        if (!rows) {
            return rows.error();
        }
        for (std::size_t row = 0; row < rows->size(); ++row) {
            last = rows->text(row, 0);
            found.emplace(last, read_values(*rows, row, 1));
        }
        count = static_cast<std::int64_t>(rows->size());
    }
    const std::lock_guard lock(m_mutex);
    m_written = std::move(found);
    return {};
}

Result<StoredTotals> PostgresLedger::totals(const Life& life) {
    // A span of nothing: the totals alone.
    Result<LedgerSnapshot> snapshot = read(life, {WallTime{}, WallTime{}}, std::chrono::seconds{60});
    return snapshot ? Result<StoredTotals>(snapshot->stored) : Result<StoredTotals>(std::move(snapshot).error());
}

Result<LedgerSnapshot> PostgresLedger::read(const Life& life, const TimeSpan& span, std::chrono::seconds step) {
    Parameters parameters;
    parameters.text(m_writer).text(life.uid).integer(minutes_of(span.from)).integer(minutes_of(span.to));
    parameters.integer(step.count());
    const Result<Rows> rows = m_pool.query(ledger_sql().read, parameters);
    return rows ? Result<LedgerSnapshot>(snapshot_of(*rows, step.count())) : Result<LedgerSnapshot>(rows.error());
}

Result<std::optional<std::map<std::string, StoredTotals>>> PostgresLedger::all() {
    std::map<std::string, StoredTotals> all;
    std::string last;
    for (std::size_t count = k_page; count == k_page;) {
        const Result<Rows> rows =
            m_pool.query(ledger_sql().all, Parameters().text(m_writer).text(last).integer(k_page));
        if (!rows) {
            return rows.error();
        }
        count = rows->size();
        const std::size_t end = count == k_page ? end_of_whole_lives(*rows) : count;
        for (std::size_t row = 0; row < end; ++row) {
            last = rows->text(row, 0);
            StoredTotals& stored = all[last];
            (rows->boolean(row, 1) ? stored.own : stored.others) += read_values(*rows, row, 3);
            stored.folded = rows->boolean(row, 2);
        }
    }
    return std::optional(std::move(all));
}

Result<Totals> PostgresLedger::take_over(const Life& life, const Totals& /*live*/, WallTime /*at*/) {
    const std::lock_guard lock(m_mutex);
    const auto found = m_written.find(life.uid);
    return found == m_written.end() ? Totals{} : found->second;
}

Result<void> PostgresLedger::write(std::span<const Entry> entries, WallTime at) {
    constexpr int k_attempts = 3;  // it may have to find its place again first
    for (int i = 0; i < k_attempts; ++i) {
        Result<Attempt> done = attempt(entries, at);
        if (!done || *done == Attempt::done) {
            return done ? Result<void>{} : std::move(done).error();
        }
        if (Result<void> back = *done == Attempt::folded ? unfold() : rejoin(); !back) {
            return back;
        }
    }
    return Error{Code::busy, "the ledger is being folded"};
}

// Within a transaction. Anything but done: nothing is to be committed.
Result<PostgresLedger::Attempt> PostgresLedger::write_round(Session& session, const std::string& round,
                                                            std::span<const Entry> entries, WallTime at) {
    const Result<Rows> place = session.query(ledger_sql().begin, Parameters().text(m_writer).text(round));
    if (!place) {
        return place.error();
    }
    if (place->empty()) {
        return Attempt::unknown;
    }
    note_round(place->text(0, 1));
    if (place->boolean(0, 0)) {
        return Attempt::folded;
    }
    Parameters parameters;
    parameters.text(m_writer).integer(minutes_of(at));
    add_arrays(parameters, entries);
    const Result<Rows> rows = session.query(ledger_sql().write, parameters);
    return rows ? Result<Attempt>(Attempt::done) : Result<Attempt>(rows.error());
}

Result<PostgresLedger::Attempt> PostgresLedger::attempt(std::span<const Entry> entries, WallTime at) {
    const std::string round = random_hex(16);
    Attempt outcome = Attempt::done;
    bool complete = false;
    Result<void> done = m_pool.with([&](Session& session) {
        return session.transaction([&]() -> Result<void> {
            Result<Attempt> tried = write_round(session, round, entries, at);
            outcome = tried ? *tried : Attempt::done;
            complete = tried && *tried == Attempt::done;
            if (!tried) {
                return std::move(tried).error();
            }
            return complete ? Result<void>{} : Error{Code::conflict, "the writer has no rows of its own"};
        });
    });
    if (outcome != Attempt::done) {
        return outcome;
    }
    Written written;
    for (const Entry& entry : entries) {
        written.emplace_back(entry.life.uid, entry.now);
    }
    if (done) {
        confirm(round, written);
    } else if (complete) {
        m_open.emplace(round, std::move(written));
    }
    return done ? Result<Attempt>(Attempt::done) : Result<Attempt>(std::move(done).error());
}

// `last`: the round that the server knows as the last one.
void PostgresLedger::note_round(const std::string& last) {
    const std::optional<std::pair<std::string, Written>> open = std::exchange(m_open, std::nullopt);
    if (open && open->first == last) {
        confirm(open->first, open->second);
    } else if (last != m_round) {
        m_rewound = true;
        m_round = last;
    }
}

void PostgresLedger::confirm(const std::string& round, const Written& written) {
    m_round = round;
    const std::lock_guard lock(m_mutex);
    for (const auto& [uid, totals] : written) {
        Totals& stored = m_written[uid];
        stored = at_least(totals, stored);
    }
}

}  // namespace mt
