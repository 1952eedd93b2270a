// What the ledger does beside reading and writing: beats, folding, and the return of a folded writer.

#include <algorithm>

#include "stats/postgres_ledger.h"
#include "stats/postgres_ledger_sql.h"

namespace mt {
namespace {

using postgres::Parameters;
using postgres::Rows;
using postgres::Session;

constexpr std::int64_t k_beat_ns = 15'000'000'000;
constexpr std::int64_t k_fold_ns = 60'000'000'000;  // between looks for silent writers
constexpr std::int64_t k_rows = 2000;               // that one step moves
constexpr int k_steps = 4;                          // of one call

std::int64_t hour_of(WallTime time) {
    return std::chrono::floor<std::chrono::hours>(time).time_since_epoch().count();
}

Result<void> outcome_of(const Result<Rows>& rows) {
    return rows ? Result<void>{} : rows.error();
}

}  // namespace

Result<bool> PostgresLedger::tend(WallTime at) {
    const std::int64_t now_ns = m_clock.boot_ns();
    if (!m_beat_ns || now_ns - *m_beat_ns >= k_beat_ns) {
        if (Result<void> done = beat(); !done) {
            return std::move(done).error();
        }
        m_beat_ns = now_ns;
    }
    if (m_rewound) {
        if (Result<void> loaded = load_own(); !loaded) {
            return std::move(loaded).error();
        }
        m_rewound = false;
        return true;
    }
    if (!m_folded_ns || now_ns - *m_folded_ns >= k_fold_ns) {
        const Result<bool> finished = fold_some();
        if (!finished) {
            return finished.error();
        }
        m_folded_ns = *finished ? std::optional(now_ns) : std::nullopt;
    }
    if (m_coarsened_hour != hour_of(at)) {
        const Result<bool> finished = coarsen_some(at);
        if (!finished) {
            return finished.error();
        }
        m_coarsened_hour = *finished ? hour_of(at) : -1;
    }
    return false;
}

Result<void> PostgresLedger::beat() {
    Result<Rows> place = m_pool.query(ledger_sql().beat, Parameters().text(m_writer));
    if (!place) {
        return std::move(place).error();
    }
    if (place->empty()) {
        return rejoin();
    }
    note_round(place->text(0, 1));
    return {};
}

// The server does not know this writer any more: it went back to an older state.
Result<void> PostgresLedger::rejoin() {
    m_rewound = true;
    m_round.clear();
    m_open.reset();
    return outcome_of(m_pool.query(ledger_sql().add_writer, Parameters().text(m_writer)));
}

// Takes this writer's numbers out of the folded rows, and puts them where they were. All of them in one transaction, so
// that nobody ever finds a writer half folded that is not.
Result<void> PostgresLedger::unfold() {
    std::vector<Entry> rows;
    {
        const std::lock_guard lock(m_mutex);
        for (const auto& [uid, totals] : m_written) {
            rows.push_back({{{}, uid}, totals});
        }
    }
    return m_pool.with([&](Session& session) {
        return session.transaction([&]() -> Result<void> {
            Result<void> locked = outcome_of(session.query(ledger_sql().fold_lock));
            if (!locked) {
                return locked;
            }
            const Result<Rows> folded = session.query(ledger_sql().is_folded, Parameters().text(m_writer));
            if (!folded || folded->empty() || !folded->boolean(0, 0)) {
                return outcome_of(folded);
            }
            for (std::size_t i = 0; i < rows.size(); i += most_entries()) {
                Parameters parameters;
                parameters.text(m_writer);
                add_arrays(parameters, std::span(rows).subspan(i, std::min(most_entries(), rows.size() - i)));
                if (Result<void> back = outcome_of(session.query(ledger_sql().unfold, parameters)); !back) {
                    return back;
                }
            }
            return outcome_of(session.query(ledger_sql().unfolded, Parameters().text(m_writer)));
        });
    });
}

// Runs `work` in a transaction unless another writer folds: then it returns false.
Result<bool> PostgresLedger::alone(const std::function<Result<void>(Session&)>& work) {
    bool got = false;
    Result<void> done = m_pool.with([&](Session& session) {
        return session.transaction([&]() -> Result<void> {
            const Result<Rows> locked = session.query(ledger_sql().try_fold_lock);
            got = locked && !locked->empty() && locked->boolean(0, 0);
            return got ? work(session) : outcome_of(locked);
        });
    });
    return done ? Result<bool>(got) : Result<bool>(std::move(done).error());
}

// Returns whether there is nothing left to fold, or somebody else is at it.
Result<bool> PostgresLedger::fold_some() {
    for (int step = 0; step < k_steps; ++step) {
        bool finished = false;
        const auto work = [&](Session& session) -> Result<void> {
            Parameters silent;
            silent.text(m_writer).integer(m_options.silence.count());
            const Result<Rows> marked = session.query(ledger_sql().mark_silent, silent);
            const Result<Rows> next = marked ? session.query(ledger_sql().next_folded) : Result<Rows>(marked.error());
            if (!next || next->empty()) {
                finished = next.has_value();
                return outcome_of(next);
            }
            const std::string writer = next->text(0, 0);
            const Result<Rows> moved = session.query(ledger_sql().fold_rows, Parameters().text(writer).integer(k_rows));
            if (!moved || moved->integer(0, 0) == k_rows) {
                return outcome_of(moved);
            }
            return outcome_of(session.query(ledger_sql().settle, Parameters().text(writer)));
        };
        const Result<bool> got = alone(work);
        if (!got || !*got || finished) {
            return got ? Result<bool>(true) : got;
        }
    }
    return false;
}

// As fold_some().
Result<bool> PostgresLedger::coarsen_some(WallTime at) {
    const std::int64_t minute = hour_of(at - m_options.retention.minutes) * 60;
    const std::int64_t hour = hour_of(at - m_options.retention.hours);
    for (int step = 0; step < k_steps; ++step) {
        std::int64_t moved = 0;
        const Result<bool> got = alone([&](Session& session) -> Result<void> {
            const Result<Rows> minutes =
                session.query(ledger_sql().minutes_to_hours, Parameters().integer(minute).integer(k_rows));
            const Result<Rows> hours =
                minutes ? session.query(ledger_sql().hours_to_months, Parameters().integer(hour).integer(k_rows))
                        : Result<Rows>(minutes.error());
            moved = hours ? std::max(minutes->integer(0, 0), hours->integer(0, 0)) : 0;
            return outcome_of(hours);
        });
        if (!got || !*got || moved < k_rows) {
            return got ? Result<bool>(true) : got;
        }
    }
    return false;
}

Result<void> PostgresLedger::fold(const Life& /*life*/, WallTime /*at*/) {
    return {};
}

Result<void> PostgresLedger::erase(const std::string& uid) {
    Result<void> erased = m_pool.with([&](Session& session) {
        return session.transaction([&]() -> Result<void> {
            Result<void> locked = outcome_of(session.query(ledger_sql().erase_lock));
            return locked ? outcome_of(session.query(ledger_sql().erase, Parameters().text(uid))) : locked;
        });
    });
    if (erased) {
        const std::lock_guard lock(m_mutex);
        m_written.erase(uid);
    }
    return erased;
}

}  // namespace mt
