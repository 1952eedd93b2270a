#include "storage/postgres_life.h"

#include <array>
#include <utility>
#include <vector>

#include "postgres/schema_lock.h"

namespace mt {
namespace {

using postgres::Parameters;
using postgres::Rows;
using postgres::Session;

const std::vector<std::string>& shared_steps() {
    static const std::vector<std::string> k_steps{
        "CREATE TABLE store_erased(uid text PRIMARY KEY, erased_at timestamptz NOT NULL DEFAULT now())"};
    return k_steps;
}

// `life` has one row from the first claim on: the uid, and the bytes of every entry that is there, expired or not. Its
// lock comes first in every statement and function, so writes come one after the other and nobody meets anybody in a
// deadlock. `bytes` stands in the index of expiries so that what has expired, but is still there, is summed up without
// touching the rows. Each statement of a VOLATILE function sees what was committed before it began: whoever waited for
// the lock sees the writes of the one who had it. A write sweeps away 256 expired entries: enough to keep up, few
// enough to delay nobody.
constexpr std::string_view k_schema = R"(
CREATE TABLE @.life(
    id int PRIMARY KEY CHECK(id = 1),
    uid text NOT NULL,
    bytes bigint NOT NULL
) WITH (fillfactor = 20);
CREATE TABLE @.kv(
    ns bytea NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    version bigint NOT NULL,
    expires_at_ms bigint,
    bytes bigint NOT NULL CHECK(bytes = length(ns) + length(key) + length(value)),
    PRIMARY KEY(ns, key)
);
CREATE INDEX kv_expiry ON @.kv(expires_at_ms, bytes) WHERE expires_at_ms IS NOT NULL;

CREATE FUNCTION @.enter(p_uid text, p_now bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_uid text;
    v_freed bigint;
BEGIN
    SELECT uid INTO v_uid FROM @.life FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unclaimed';
    ELSIF v_uid <> p_uid THEN
        RETURN 'foreign';
    END IF;
    WITH gone AS (
        DELETE FROM @.kv WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM @.kv WHERE expires_at_ms <= p_now ORDER BY expires_at_ms LIMIT 256))
        RETURNING bytes
    ) SELECT sum(bytes) INTO v_freed FROM gone;
    IF v_freed IS NOT NULL THEN
        UPDATE @.life SET bytes = bytes - v_freed;
    END IF;
    RETURN 'entered';
END $$;

CREATE FUNCTION @.put(p_uid text, p_now bigint, p_max bigint, p_ns bytea, p_key bytea, p_value bytea,
    p_expiry bigint, p_if_version bigint,
    OUT r_outcome text, OUT r_version bigint, OUT r_bytes bigint, OUT r_used bigint) LANGUAGE plpgsql AS $$
DECLARE
    v_bytes bigint := length(p_ns) + length(p_key) + length(p_value);
    v_there bigint := 0;
    v_old record;
BEGIN
    r_outcome := @.enter(p_uid, p_now);
    IF r_outcome <> 'entered' THEN
        RETURN;
    END IF;
    SELECT version, bytes, expires_at_ms INTO v_old FROM @.kv WHERE ns = p_ns AND key = p_key;
    IF FOUND THEN
        v_there := v_old.bytes;
        IF v_old.expires_at_ms IS NULL OR v_old.expires_at_ms > p_now THEN
            r_version := v_old.version;
            r_bytes := v_old.bytes;
        END IF;
    END IF;
    IF p_if_version <> coalesce(r_version, 0) THEN
        r_outcome := 'conflict';
        RETURN;
    END IF;
    SELECT life.bytes - (SELECT coalesce(sum(kv.bytes), 0) FROM @.kv WHERE kv.expires_at_ms <= p_now)
        INTO r_used FROM @.life;
    IF v_bytes > coalesce(r_bytes, 0) AND r_used - coalesce(r_bytes, 0) + v_bytes > p_max THEN
        r_outcome := 'full';
        RETURN;
    END IF;
    r_outcome := 'put';
    r_version := coalesce(r_version, 0) + 1;
    INSERT INTO @.kv VALUES(p_ns, p_key, p_value, r_version, p_expiry, v_bytes)
        ON CONFLICT(ns, key) DO UPDATE SET value = excluded.value, version = excluded.version,
            expires_at_ms = excluded.expires_at_ms, bytes = excluded.bytes;
    IF v_bytes <> v_there THEN
        UPDATE @.life SET bytes = bytes + v_bytes - v_there;
    END IF;
END $$;

CREATE FUNCTION @.erase(p_uid text, p_now bigint, p_ns bytea, p_key bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_outcome text := @.enter(p_uid, p_now);
    v_old record;
BEGIN
    IF v_outcome <> 'entered' THEN
        RETURN v_outcome;
    END IF;
    DELETE FROM @.kv WHERE ns = p_ns AND key = p_key RETURNING bytes, expires_at_ms INTO v_old;
    IF NOT FOUND THEN
        RETURN 'absent';
    END IF;
    UPDATE @.life SET bytes = bytes - v_old.bytes;
    RETURN CASE WHEN v_old.expires_at_ms <= p_now THEN 'absent' ELSE 'erased' END;
END $$;

CREATE FUNCTION @.clear(p_uid text, p_now bigint, p_ns bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_outcome text := @.enter(p_uid, p_now);
    v_freed bigint;
BEGIN
    IF v_outcome <> 'entered' THEN
        RETURN v_outcome;
    END IF;
    WITH gone AS (DELETE FROM @.kv WHERE ns = p_ns RETURNING bytes) SELECT sum(bytes) INTO v_freed FROM gone;
    UPDATE @.life SET bytes = bytes - coalesce(v_freed, 0);
    RETURN 'cleared';
END $$;
)";

constexpr std::string_view k_ask_over = "SELECT 1 FROM mtagent.store_erased WHERE uid = $1";

std::string for_schema(std::string_view text, std::string_view schema) {
    std::string sql;
    for (const char byte : text) {
        if (byte == '@') {
            sql += schema;
        } else {
            sql += byte;
        }
    }
    return sql;
}

Result<void> void_of(Result<Rows> rows) {
    return rows ? Result<void>() : Result<void>(std::move(rows).error());
}

}  // namespace

Error life_is_over() {
    return Error{Code::not_found, "what this tenant stored is gone, or belongs to another tenant of its name"};
}

PostgresLife::PostgresLife(postgres::Pool& pool, const std::string& tenant, std::string uid)
    : m_pool(pool), m_schema("tenant_" + tenant), m_quoted(postgres::quote_name(m_schema)), m_uid(std::move(uid)) {}

// Asks first, without a lock: a straggler would otherwise make and drop the schema at each write.
Result<void> PostgresLife::prepare() {
    Result<Rows> over = m_pool.query(k_ask_over, Parameters().text(m_uid));
    if (!over && over.error().code != Code::not_found) {
        return std::move(over).error();
    }
    if (over && !over->empty()) {
        return life_is_over();
    }
    const std::array<std::string, 1> steps{for_schema(k_schema, m_quoted)};
    return migrate(m_pool, {m_schema, "store", steps});
}

Result<bool> PostgresLife::is_over(Session& session) {
    Result<Rows> rows = session.query(k_ask_over, Parameters().text(m_uid));
    if (!rows) {
        return std::move(rows).error();
    }
    return !rows->empty();
}

Result<void> PostgresLife::claim() {
    if (Result<void> ready = migrate(m_pool, {"mtagent", "store", shared_steps()}); !ready) {
        return ready;
    }
    bool over = false;
    Result<void> done = m_pool.with([&](Session& session) {
        return session.transaction([&]() -> Result<void> {
            if (Result<void> locked = postgres::lock_schema(session, m_schema); !locked) {
                return locked;
            }
            Result<bool> is = is_over(session);
            if (!is) {
                return std::move(is).error();
            }
            over = *is;
            return over ? drop_unless_foreign(session)
                        : void_of(session.query(
                              "INSERT INTO " + m_quoted + ".life VALUES(1, $1, 0) ON CONFLICT(id) DO NOTHING",
                              Parameters().text(m_uid)));
        });
    });
    if (!done && done.error().code == Code::not_found) {
        return {};  // dropped meanwhile: the next write sees it
    }
    return done && over ? Result<void>(life_is_over()) : std::move(done);
}

Result<void> PostgresLife::drop_unless_foreign(Session& session) {
    Result<Rows> there = session.query("SELECT to_regclass($1) IS NOT NULL", Parameters().text(m_quoted + ".life"));
    if (!there || !there->boolean(0, 0)) {
        return void_of(std::move(there));
    }
    // Before anything else of the schema, as everybody does: or DROP meets them in a deadlock.
    if (Result<void> locked = session.script("LOCK TABLE " + m_quoted + ".life IN ACCESS EXCLUSIVE MODE"); !locked) {
        return locked;
    }
    Result<Rows> uid = session.query("SELECT uid FROM " + m_quoted + ".life");
    if (!uid || (!uid->empty() && uid->text(0, 0) != m_uid)) {
        return void_of(std::move(uid));
    }
    return session.script("DROP SCHEMA " + m_quoted + " CASCADE");
}

Result<void> PostgresLife::erase() {
    if (Result<void> ready = migrate(m_pool, {"mtagent", "store", shared_steps()}); !ready) {
        return ready;
    }
    return m_pool.with([&](Session& session) {
        return session.transaction([&]() -> Result<void> {
            if (Result<void> locked = postgres::lock_schema(session, m_schema); !locked) {
                return locked;
            }
            Result<Rows> noted = session.query(
                "WITH old AS (DELETE FROM mtagent.store_erased WHERE erased_at < now() - interval '31 days') "
                "INSERT INTO mtagent.store_erased VALUES($1) ON CONFLICT(uid) DO NOTHING",
                Parameters().text(m_uid));
            return noted ? drop_unless_foreign(session) : void_of(std::move(noted));
        });
    });
}

}  // namespace mt
