#include "stats/history.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

namespace mt {
namespace {

// A row for each writer, minute (since 1970), hour (since 1970) and month (yyyymm, UTC), a column for each value.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> k_tables{{
    {"ledger_totals", "writer TEXT PRIMARY KEY"},
    {"ledger_minutes", "minute INTEGER PRIMARY KEY"},
    {"ledger_hours", "hour INTEGER PRIMARY KEY"},
    {"ledger_months", "month INTEGER PRIMARY KEY"},
}};

// The first layout had a row for each value.
constexpr std::string_view k_first_step = R"sql(
CREATE TABLE stats_totals(
    writer TEXT NOT NULL, counter TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY(writer, counter))
    STRICT, WITHOUT ROWID;
CREATE TABLE stats_minutes(
    minute INTEGER NOT NULL, counter TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY(minute, counter))
    STRICT, WITHOUT ROWID;
)sql";

std::string second_step() {
    std::string sql;
    for (const auto& [table, key] : k_tables) {
        sql += fmt::format("CREATE TABLE {}({}, {}) STRICT;\n", table, key,
                           for_each_value("@ INTEGER NOT NULL DEFAULT 0"));
    }
    const std::string pivot = for_each_value("SUM(CASE counter WHEN '@' THEN value ELSE 0 END)");
    sql += fmt::format("INSERT INTO ledger_totals SELECT writer, {} FROM stats_totals GROUP BY writer;\n", pivot);
    sql += fmt::format("INSERT INTO ledger_minutes SELECT minute, {} FROM stats_minutes GROUP BY minute;\n", pivot);
    return sql + "DROP TABLE stats_totals; DROP TABLE stats_minutes;";
}

const SchemaPart& stats_part() {
    static const std::string k_second = second_step();
    static const std::array<std::string_view, 2> k_steps{k_first_step, k_second};
    static const SchemaPart k_part{"stats", k_steps};
    return k_part;
}

// Statements with all values in them, put together once.
struct Statements {
    std::string columns = for_each_value("@");
    std::string sums = for_each_value("SUM(@)");
    std::string totals = fmt::format("SELECT writer, {} FROM ledger_totals", columns);
    std::string set_totals = fmt::format("INSERT INTO ledger_totals VALUES(?, {}) ON CONFLICT(writer) DO UPDATE SET {}",
                                         for_each_value("?"), for_each_value("@ = excluded.@"));
    std::string add_minute =
        fmt::format("INSERT INTO ledger_minutes VALUES(?, {}) {}", for_each_value("?"), merge("minute"));
    std::string to_hours = fmt::format(
        "INSERT INTO ledger_hours SELECT minute / 60, {} FROM ledger_minutes WHERE minute < ? GROUP BY 1 {}", sums,
        merge("hour"));
    std::string to_months = fmt::format(
        "INSERT INTO ledger_months SELECT CAST(strftime('%Y%m', hour * 3600, 'unixepoch') AS INTEGER), {} "
        "FROM ledger_hours WHERE hour < ? GROUP BY 1 {}",
        sums, merge("month"));
    // Of each part what begins in the span; rows of hours begin where those of minutes would.
    std::string parts = fmt::format(
        "SELECT start, {0} FROM ("
        "SELECT minute * 60 AS start, {1} FROM ledger_minutes WHERE minute >= ?1 AND minute < ?2 UNION ALL "
        "SELECT hour * 3600, {1} FROM ledger_hours WHERE hour >= ?1 / 60 AND hour * 60 < ?2 UNION ALL "
        "SELECT unixepoch(printf('%d-%02d-01', month / 100, month % 100)), {1} FROM ledger_months"
        " WHERE unixepoch(printf('%d-%02d-01', month / 100, month % 100), '+1 month') > ?1 * 60"
        " AND unixepoch(printf('%d-%02d-01', month / 100, month % 100)) < ?2 * 60) GROUP BY start / ?3 ORDER BY start",
        sums, columns);

    static std::string merge(std::string_view key) {
        return fmt::format("ON CONFLICT({}) DO UPDATE SET {}", key, for_each_value("@ = @ + excluded.@"));
    }
};

const Statements& statements() {
    static const Statements k_statements;
    return k_statements;
}

// Reads all values from `column` on.
Totals read_values(const Query& row, int column) {
    Totals totals;
    for (std::size_t i = 0; i < k_values; ++i) {
        value_at(totals, i) = row.integer(column + static_cast<int>(i));
    }
    return totals;
}

void bind_values(Query& query, int index, const Totals& totals) {
    for (std::size_t i = 0; i < k_values; ++i) {
        query.bind(index + static_cast<int>(i), value_at(totals, i));
    }
}

StoredTotals read_totals(Database& database, std::string_view writer) {
    StoredTotals stored;
    Query row = database.query(statements().totals);
    while (row.step()) {
        (row.text(0) == writer ? stored.own : stored.others) += read_values(row, 1);
    }
    return stored;
}

void set_totals(Database& database, std::string_view writer, const Totals& now) {
    Query query = database.query(statements().set_totals);
    query.bind(1, writer);
    bind_values(query, 2, now);
    query.execute();
}

void add_minute(Database& database, WallTime at, const Totals& difference) {
    Query query = database.query(statements().add_minute);
    query.bind(1, std::int64_t{std::chrono::floor<std::chrono::minutes>(at).time_since_epoch().count()});
    bind_values(query, 2, difference);
    query.execute();
}

// Compared with what is stored, not with what this process believes to have stored: a commit whose outcome is unknown
// cannot count twice.
bool count_difference(Database& database, const Totals& now, const Totals& stored, WallTime at) {
    Totals difference = now;
    difference -= stored;
    if (difference == Totals{}) {
        return false;
    }
    add_minute(database, at, difference);
    return true;
}

std::int64_t minutes_of(WallTime time) {
    return std::chrono::floor<std::chrono::minutes>(time).time_since_epoch().count();
}

std::vector<Period> read_parts(Database& database, const TimeSpan& span, std::int64_t step_s) {
    std::vector<Period> periods;
    Query row = database.query(statements().parts);
    row.bind(1, minutes_of(span.from));
    row.bind(2, minutes_of(span.to));
    row.bind(3, step_s);
    while (row.step()) {
        const std::int64_t start = row.integer(0) / step_s * step_s;
        periods.push_back({WallTime{std::chrono::seconds{start}}, read_values(row, 1)});
    }
    return periods;
}

}  // namespace

Result<StoredTotals> History::totals() {
    StoredTotals stored;
    Result<void> read = m_files.read(m_tenant, stats_part(), [&](Database& database) -> Result<void> {
        stored = read_totals(database, m_writer);
        return {};
    });
    return read ? Result<StoredTotals>(stored) : Result<StoredTotals>(std::move(read).error());
}

Result<void> History::write(const Totals& now, WallTime at) {
    return m_files.write(m_tenant, stats_part(), [&](Database& database) -> Result<void> {
        const Totals stored = read_totals(database, m_writer).own;
        const Totals raised = at_least(now, stored);
        if (count_difference(database, raised, stored, at)) {
            set_totals(database, m_writer, raised);
        }
        return {};
    });
}

Result<Totals> History::adopt(const Totals& now, WallTime at) {
    Totals own;
    Result<void> written = m_files.write(m_tenant, stats_part(), [&](Database& database) -> Result<void> {
        const StoredTotals stored = read_totals(database, m_writer);
        own = at_least(now, stored.own);
        count_difference(database, own, stored.own, at);
        own += stored.others;
        database.query("DELETE FROM ledger_totals").execute();
        set_totals(database, m_writer, own);
        return {};
    });
    return written ? Result<Totals>(own) : Result<Totals>(std::move(written).error());
}

Result<void> History::fold(WallTime at, const Retention& retention) {
    const auto hour_of = [&](std::chrono::hours age) {
        return std::int64_t{std::chrono::floor<std::chrono::hours>(at - age).time_since_epoch().count()};
    };
    return m_files.write(m_tenant, stats_part(), [&](Database& database) -> Result<void> {
        const std::int64_t minute = hour_of(retention.minutes) * 60;
        database.query(statements().to_hours).bind(1, minute).execute();
        database.query("DELETE FROM ledger_minutes WHERE minute < ?").bind(1, minute).execute();
        const std::int64_t hour = hour_of(retention.hours);
        database.query(statements().to_months).bind(1, hour).execute();
        database.query("DELETE FROM ledger_hours WHERE hour < ?").bind(1, hour).execute();
        return {};
    });
}

Result<LedgerSnapshot> History::read(const TimeSpan& span, std::chrono::seconds step) {
    LedgerSnapshot snapshot;
    Result<void> read = m_files.read(m_tenant, stats_part(), [&](Database& database) -> Result<void> {
        return database.snapshot([&]() -> Result<void> {
            snapshot.stored = read_totals(database, m_writer);
            snapshot.periods = read_parts(database, span, step.count());
            return {};
        });
    });
    return read ? Result<LedgerSnapshot>(std::move(snapshot)) : Result<LedgerSnapshot>(std::move(read).error());
}

}  // namespace mt
