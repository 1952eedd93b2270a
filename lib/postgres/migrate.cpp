#include <fmt/core.h>

#include <utility>

#include "postgres/pool.h"
#include "postgres/schema_lock.h"

namespace mt::postgres {
namespace {

std::string table_of(const SchemaSteps& steps) {
    return quote_name(steps.schema) + ".schema_parts";
}

Error newer(const SchemaSteps& steps, std::int64_t version) {
    return Error{Code::version_mismatch,
                 fmt::format("the part '{}' of the database has version {}, this program knows {}: use a newer one",
                             steps.part, version, steps.steps.size())};
}

// The version that stands in the table; 0: none.
template <class Source>
Result<std::int64_t> read_version(Source& source, const SchemaSteps& steps) {
    Result<Rows> rows = source.query(fmt::format("SELECT version FROM {} WHERE name = $1", table_of(steps)),
                                     Parameters().text(steps.part));
    if (!rows) {
        return std::move(rows).error();
    }
    return rows->integer(0, 0);
}

// Only where it is missing: CREATE SCHEMA IF NOT EXISTS needs the right to create one even where it is there.
Result<void> make_schema(Session& session, const SchemaSteps& steps) {
    Result<Rows> there =
        session.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", Parameters().text(steps.schema));
    if (!there) {
        return std::move(there).error();
    }
    if (there->empty()) {
        if (Result<void> made = session.script("CREATE SCHEMA " + quote_name(steps.schema)); !made) {
            Error error = std::move(made).error();
            if (error.code == Code::failed) {
                error.message = fmt::format(
                    "the schema '{}' cannot be made: the database role needs the right CREATE on the database",
                    steps.schema);
            }
            return error;
        }
    }
    return session.script(
        fmt::format("CREATE TABLE IF NOT EXISTS {}(name text PRIMARY KEY, version bigint NOT NULL)", table_of(steps)));
}

Result<void> run_steps(Session& session, const SchemaSteps& steps, std::int64_t version) {
    for (const std::string& step : steps.steps.subspan(static_cast<std::size_t>(version))) {
        if (Result<void> done = session.script(step); !done) {
            return done;
        }
    }
    Result<Rows> noted = session.query(
        fmt::format("INSERT INTO {} VALUES($1, $2) ON CONFLICT(name) DO UPDATE SET version = excluded.version",
                    table_of(steps)),
        Parameters().text(steps.part).integer(std::ssize(steps.steps)));
    return noted ? Result<void>() : Result<void>(std::move(noted).error());
}

// Everything under the lock, in a transaction: whoever waited for it finds the work done.
Result<void> migrate_locked(Session& session, const SchemaSteps& steps) {
    if (Result<void> locked = lock_schema(session, steps.schema); !locked) {
        return locked;
    }
    if (Result<void> made = make_schema(session, steps); !made) {
        return made;
    }
    if (Result<void> set = session.script("SET LOCAL search_path = " + quote_name(steps.schema)); !set) {
        return set;
    }
    Result<std::int64_t> version = read_version(session, steps);
    if (!version) {
        return std::move(version).error();
    }
    if (*version > std::ssize(steps.steps)) {
        return newer(steps, *version);
    }
    return *version == std::ssize(steps.steps) ? Result<void>() : run_steps(session, steps, *version);
}

}  // namespace

Result<void> lock_schema(Session& session, std::string_view schema) {
    Result<Rows> locked = session.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
                                        Parameters().text(fmt::format("mtagent {}", schema)));
    return locked ? Result<void>() : Result<void>(std::move(locked).error());
}

Result<void> migrate(Pool& pool, const SchemaSteps& steps) {
    Result<std::int64_t> version = read_version(pool, steps);
    if (!version && version.error().code != Code::not_found) {
        return std::move(version).error();
    }
    if (version && *version > std::ssize(steps.steps)) {
        return newer(steps, *version);
    }
    if (version && *version == std::ssize(steps.steps)) {
        return {};
    }
    return pool.with(
        [&](Session& session) { return session.transaction([&] { return migrate_locked(session, steps); }); });
}

}  // namespace mt::postgres
