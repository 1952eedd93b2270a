#include "stats/postgres_ledger_sql.h"

#include <fmt/core.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace mt {
namespace {

// A gap in the beats of all writers counts as this much: while the server was away nobody was silent.
constexpr int k_longest_gap_ms = 120'000;

// Whoever moves rows shares the first; erasing takes it alone, so that no row of an erased life is on its way.
constexpr std::string_view k_rows_lock = "hashtextextended('mtagent ledger rows', 0)";
constexpr std::string_view k_fold_lock = "hashtextextended('mtagent ledger fold', 0)";

std::string schema() {
    const std::string values = for_each_value("@ bigint NOT NULL DEFAULT 0");
    const std::string uid = R"(uid text COLLATE "C" NOT NULL)";
    // Rows change every second: half of a page is left for their next versions.
    const std::string churn = "WITH (fillfactor = 50)";
    return fmt::format(R"sql(
CREATE TABLE ledger_clock(
    one boolean PRIMARY KEY DEFAULT true CHECK (one), observed_ms bigint NOT NULL DEFAULT 0,
    at timestamptz NOT NULL DEFAULT clock_timestamp());
INSERT INTO ledger_clock DEFAULT VALUES;
CREATE TABLE ledger_writers(
    writer text COLLATE "C" PRIMARY KEY, since timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen timestamptz NOT NULL DEFAULT clock_timestamp(), seen_ms bigint NOT NULL, round text NOT NULL DEFAULT '',
    round_before text NOT NULL DEFAULT '', folded boolean NOT NULL DEFAULT false,
    settled boolean NOT NULL DEFAULT false);
CREATE TABLE ledger_erased(uid text COLLATE "C" PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE stats({0}, writer text COLLATE "C" NOT NULL, tenant text NOT NULL, {1}, PRIMARY KEY(uid, writer)) {2};
CREATE INDEX stats_by_writer ON stats(writer, uid);
CREATE TABLE stats_minutes({0}, minute bigint NOT NULL, {1}, PRIMARY KEY(uid, minute)) {2};
CREATE INDEX stats_minutes_by_minute ON stats_minutes(minute);
CREATE TABLE stats_hours({0}, hour bigint NOT NULL, {1}, PRIMARY KEY(uid, hour));
CREATE INDEX stats_hours_by_hour ON stats_hours(hour);
CREATE TABLE stats_months({0}, month bigint NOT NULL, {1}, PRIMARY KEY(uid, month));
)sql",
                       uid, values, churn);
}

const std::string& columns() {
    static const std::string k_columns = for_each_value("@");
    return k_columns;
}

const std::string& sums() {
    static const std::string k_sums = for_each_value("COALESCE(SUM(@), 0)::bigint AS @");
    return k_sums;
}

// Rows of arrays, from parameter `first` on.
std::string arrays(int first) {
    std::string list = fmt::format("${}::text[], ${}::text[]", first, first + 1);
    for (std::size_t i = 0; i < k_values; ++i) {
        list += fmt::format(", ${}::bigint[]", first + 2 + static_cast<int>(i));
    }
    return fmt::format(
        "incoming AS (SELECT uid COLLATE \"C\" AS uid, tenant, {1} FROM unnest({0}) AS i(uid, tenant, {1})"
        " WHERE NOT EXISTS (SELECT FROM mtagent.ledger_erased e WHERE e.uid = i.uid))",
        list, columns());
}

// Adds rows to those that are there. Locks are taken in order of the key, so that no two writers wait for each other.
std::string add_into(std::string_view table, std::string_view key, std::string_view rows) {
    const std::string add = for_each_value(fmt::format("@ = {}.@ + excluded.@", table));
    return fmt::format(
        "INSERT INTO mtagent.{0}(uid, {1}, {2}) {3} ORDER BY 1, 2 ON CONFLICT(uid, {1}) DO UPDATE SET {4}", table, key,
        columns(), rows, add);
}

// What is stored is compared in the same statement: a commit whose outcome is unknown cannot count twice.
std::string write() {
    const std::string set = for_each_value("@ = excluded.@");
    const std::string minute =
        add_into("stats_minutes", "minute",
                 fmt::format("SELECT uid, $2::bigint, {} FROM change", for_each_value("@ - before_@")));
    return fmt::format(
        "WITH {0}, change AS ("
        "SELECT i.uid, i.tenant, {1}, {2} FROM incoming i"
        " LEFT JOIN mtagent.stats b ON b.uid = i.uid AND b.writer = $1 WHERE {3}), "
        "stored AS (INSERT INTO mtagent.stats(uid, writer, tenant, {4}) SELECT uid, $1, tenant, {4} FROM change"
        " ORDER BY 1 ON CONFLICT(uid, writer) DO UPDATE SET"
        " tenant = COALESCE(NULLIF(excluded.tenant, ''), stats.tenant), {5}) {6}",
        arrays(3), for_each_value("GREATEST(i.@, COALESCE(b.@, 0)) AS @"),
        for_each_value("COALESCE(b.@, 0) AS before_@"), for_each_value("i.@ > COALESCE(b.@, 0)", " OR "), columns(),
        set, minute);
}

// Of each part what begins in the span; rows of hours begin where those of minutes would.
std::string read() {
    return fmt::format(
        "SELECT 0 AS part, COALESCE((SELECT folded::int FROM mtagent.ledger_writers WHERE writer = $1), 0)::bigint,"
        " {1} FROM mtagent.stats WHERE uid = $2 AND writer = $1 "
        "UNION ALL SELECT 1, 0, {1} FROM mtagent.stats WHERE uid = $2 AND writer <> $1 "
        "UNION ALL SELECT 2, MIN(start), {1} FROM ("
        "SELECT minute * 60 AS start, {0} FROM mtagent.stats_minutes"
        " WHERE uid = $2 AND minute >= $3::bigint AND minute < $4::bigint "
        "UNION ALL SELECT hour * 3600, {0} FROM mtagent.stats_hours"
        " WHERE uid = $2 AND hour >= $3::bigint / 60 AND hour * 60 < $4::bigint "
        "UNION ALL SELECT extract(epoch FROM begin)::bigint, {0} FROM ("
        "SELECT *, make_date((month / 100)::int, (month % 100)::int, 1) AS begin FROM mtagent.stats_months"
        " WHERE uid = $2) m WHERE extract(epoch FROM begin + interval '1 month') > $3::bigint * 60"
        " AND extract(epoch FROM begin) < $4::bigint * 60) p GROUP BY start / $5::bigint ORDER BY 1, 2",
        columns(), sums());
}

// Moves rows into coarser ones.
std::string coarsen(std::string_view from, std::string_view from_key, std::string_view to, std::string_view to_key,
                    std::string_view value) {
    const std::string rows = fmt::format("SELECT uid, {} AS {}, {} FROM gone GROUP BY 1, 2", value, to_key, sums());
    return fmt::format(
        "WITH old AS (SELECT uid, {1} FROM mtagent.{0} WHERE {1} < $1::bigint ORDER BY {1}, uid LIMIT $2::bigint), "
        "gone AS (DELETE FROM mtagent.{0} t USING old WHERE t.uid = old.uid AND t.{1} = old.{1} RETURNING t.*), "
        "moved AS ({2}) SELECT count(*) FROM gone",
        from, from_key, add_into(to, to_key, rows));
}

std::string fold_rows() {
    const std::string add = for_each_value("@ = stats.@ + excluded.@");
    return fmt::format(
        "WITH gone AS (DELETE FROM mtagent.stats WHERE writer = $1 AND uid IN (SELECT uid FROM mtagent.stats"
        " WHERE writer = $1 ORDER BY uid LIMIT $2::bigint) RETURNING *), "
        "moved AS (INSERT INTO mtagent.stats(uid, writer, tenant, {0}) SELECT uid, '', tenant, {0} FROM gone ORDER BY 1"
        " ON CONFLICT(uid, writer) DO UPDATE SET tenant = COALESCE(NULLIF(excluded.tenant, ''), stats.tenant), {1}) "
        "SELECT count(*) FROM gone",
        columns(), add);
}

// Rows that are still there were not folded yet. A life without a folded row has none to be taken out of it.
std::string unfold() {
    return fmt::format(
        "WITH {0}, back AS (INSERT INTO mtagent.stats(uid, writer, tenant, {1}) SELECT i.uid, $1, s.tenant, {2}"
        " FROM incoming i JOIN mtagent.stats s ON s.uid = i.uid AND s.writer = '' ORDER BY 1"
        " ON CONFLICT DO NOTHING RETURNING *) "
        "UPDATE mtagent.stats SET {3} FROM back WHERE stats.uid = back.uid AND stats.writer = ''",
        arrays(2), columns(), for_each_value("i.@"), for_each_value("@ = stats.@ - back.@"));
}

LedgerSql make() {
    LedgerSql sql;
    sql.add_writer =
        "INSERT INTO mtagent.ledger_writers(writer, seen_ms) SELECT $1, observed_ms FROM mtagent.ledger_clock"
        " ON CONFLICT DO NOTHING";
    sql.beat = fmt::format(
        "WITH tick AS (UPDATE mtagent.ledger_clock SET at = clock_timestamp(), observed_ms = observed_ms +"
        " LEAST(GREATEST((extract(epoch FROM clock_timestamp() - at) * 1000)::bigint, 0), {}) RETURNING observed_ms) "
        "UPDATE mtagent.ledger_writers SET seen = clock_timestamp(), seen_ms = tick.observed_ms FROM tick"
        " WHERE writer = $1 RETURNING folded, round",
        k_longest_gap_ms);
    sql.begin = fmt::format(
        "UPDATE mtagent.ledger_writers SET seen = clock_timestamp(), round_before = round, round = $2"
        " WHERE writer = $1 RETURNING folded, round_before, pg_advisory_xact_lock_shared({})",
        k_rows_lock);
    sql.own_rows = fmt::format(
        "SELECT uid, {} FROM mtagent.stats WHERE writer = $1 AND uid > $2 ORDER BY uid LIMIT $3::bigint", columns());
    sql.write = write();
    sql.read = read();
    // Sums of SUM() would be of type numeric: adding up here costs a third.
    sql.all = fmt::format(
        "SELECT uid, writer = $1, COALESCE((SELECT folded FROM mtagent.ledger_writers WHERE writer = $1), false), {}"
        " FROM mtagent.stats WHERE uid > $2 ORDER BY uid, writer LIMIT $3::bigint",
        columns());
    sql.try_fold_lock =
        fmt::format("SELECT pg_try_advisory_xact_lock({}), pg_advisory_xact_lock_shared({})", k_fold_lock, k_rows_lock);
    sql.minutes_to_hours = coarsen("stats_minutes", "minute", "stats_hours", "hour", "minute / 60");
    sql.hours_to_months = coarsen("stats_hours", "hour", "stats_months", "month",
                                  "to_char(to_timestamp(hour * 3600) AT TIME ZONE 'UTC', 'YYYYMM')::bigint");
    sql.mark_silent =
        "UPDATE mtagent.ledger_writers SET folded = true, settled = false WHERE writer IN (SELECT w.writer"
        " FROM mtagent.ledger_writers w, mtagent.ledger_clock c WHERE NOT w.folded AND w.writer <> $1"
        " AND w.seen_ms <= c.observed_ms - $2::bigint FOR UPDATE OF w SKIP LOCKED)";
    sql.next_folded = "SELECT writer FROM mtagent.ledger_writers WHERE folded AND NOT settled ORDER BY writer LIMIT 1";
    sql.fold_rows = fold_rows();
    sql.settle = "UPDATE mtagent.ledger_writers SET settled = true WHERE writer = $1";
    sql.fold_lock =
        fmt::format("SELECT pg_advisory_xact_lock({}), pg_advisory_xact_lock_shared({})", k_fold_lock, k_rows_lock);
    sql.is_folded = "SELECT folded FROM mtagent.ledger_writers WHERE writer = $1 FOR UPDATE";
    sql.unfold = unfold();
    sql.unfolded = "UPDATE mtagent.ledger_writers SET folded = false, settled = false WHERE writer = $1";
    sql.erase_lock = fmt::format("SELECT pg_advisory_xact_lock({})", k_rows_lock);
    sql.erase =
        "WITH mark AS (INSERT INTO mtagent.ledger_erased(uid) VALUES($1) ON CONFLICT DO NOTHING), "
        "a AS (DELETE FROM mtagent.stats WHERE uid = $1), b AS (DELETE FROM mtagent.stats_minutes WHERE uid = $1), "
        "c AS (DELETE FROM mtagent.stats_hours WHERE uid = $1) DELETE FROM mtagent.stats_months WHERE uid = $1";
    return sql;
}

}  // namespace

const LedgerSql& ledger_sql() {
    static const LedgerSql k_sql = make();
    return k_sql;
}

void add_arrays(postgres::Parameters& parameters, std::span<const LedgerStore::Entry> entries) {
    std::vector<std::string> uids;
    std::vector<std::string> tenants;
    for (const LedgerStore::Entry& entry : entries) {
        uids.push_back(entry.life.uid);
        tenants.push_back(entry.life.tenant);
    }
    parameters.texts(uids).texts(tenants);
    std::vector<std::int64_t> column(entries.size());
    for (std::size_t value = 0; value < k_values; ++value) {
        for (std::size_t i = 0; i < entries.size(); ++i) {
            column[i] = value_at(entries[i].now, value);
        }
        parameters.integers(column);
    }
}

std::span<const std::string> ledger_schema() {
    static const std::array<std::string, 1> k_steps{schema()};
    return k_steps;
}

}  // namespace mt
