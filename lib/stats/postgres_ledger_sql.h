#pragma once

#include <span>
#include <string>

#include "postgres/pool.h"
#include "stats/ledger_store.h"

namespace mt {

/// The statements of the ledger in PostgreSQL, with all values in them, put together once. Parameters are named where
/// they are given: $1 is the writer unless said otherwise; "arrays" are $uids, $tenants and one array for each value.
struct LedgerSql {
    // Who writes.
    std::string add_writer;  ///< $1
    std::string beat;        ///< $1 -> folded, round
    std::string begin;       ///< $1, $2 this round -> folded, the round before; other writers may write, nobody erases
    std::string own_rows;    ///< $1, $2 after this uid, $3 rows -> uid, values
    // Numbers.
    std::string write;  ///< $1, $2 minute, arrays from $3 on
    std::string read;   ///< $1, $2 uid, $3 from minute, $4 to minute, $5 step in seconds -> part, start, values
    std::string all;    ///< $1, $2 after this uid, $3 rows -> uid, is own, is this writer folded, values
    // Folding. Moved rows lose nothing: what is deleted is what is inserted, in one statement.
    std::string try_fold_lock;     ///< -> whether nobody else folds; nobody erases until the transaction ends
    std::string minutes_to_hours;  ///< $1 minute, $2 rows -> rows moved
    std::string hours_to_months;   ///< $1 hour, $2 rows -> rows moved
    std::string mark_silent;       ///< $1 (not this one), $2 silence in ms
    std::string next_folded;       ///< -> a writer that is folded and may have rows left
    std::string fold_rows;         ///< $1, $2 rows -> rows moved
    std::string settle;            ///< $1: no rows are left
    // A folded writer's return.
    std::string fold_lock;  ///< waits
    std::string is_folded;  ///< $1 -> folded, and holds the row
    std::string unfold;     ///< $1, arrays from $2 on
    std::string unfolded;   ///< $1
    // The end of a tenant's life.
    std::string erase_lock;  ///< waits for whoever writes, and holds up whoever wants to
    std::string erase;       ///< $1 uid
};

/// Made at the first call. Thread-safe.
const LedgerSql& ledger_sql();

/// Adds the arrays of entries: uids, tenants, and one for each value.
void add_arrays(postgres::Parameters& parameters, std::span<const LedgerStore::Entry> entries);

/// The steps of part "ledger" of schema "mtagent".
std::span<const std::string> ledger_schema();

}  // namespace mt
