// Reading, and publishing changes. Settings, models and keys are in postgres_registry_parts.cpp.

#include "catalog/postgres_registry.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/text.h"

namespace mt {
namespace {

using postgres::Parameters;
using postgres::Rows;
using rules::from_ms;
using rules::to_ms;

constexpr std::int64_t k_only_sequence = std::numeric_limits<std::int64_t>::max();  // asked for in changes_since()

TenantRecord tenant_of(const Rows& rows, std::size_t row) {
    TenantRecord record;
    record.id = rows.text(row, 0);
    record.uid = rows.text(row, 1);
    record.name = rows.text(row, 2);
    record.plan = rows.text(row, 3);
    record.auth = rows.text(row, 4);
    record.status = rules::to_status(rows.text(row, 5));
    record.generation = rows.integer(row, 6);
    record.created = from_ms(rows.integer(row, 7));
    return record;
}

Result<std::vector<TenantRecord>> tenants_of(Result<Rows> rows) {
    if (!rows) {
        return std::move(rows).error();
    }
    std::vector<TenantRecord> records;
    records.reserve(rows->size());
    for (std::size_t row = 0; row < rows->size(); ++row) {
        records.push_back(tenant_of(*rows, row));
    }
    return records;
}

// A cursor with the same ids after it that can be sent: ids are ASCII, so that every other byte is past them all.
std::string cursor_of(std::string_view cursor) {
    const auto* const odd = std::find_if(cursor.begin(), cursor.end(),
                                         [](char c) { return c == '\0' || static_cast<unsigned char>(c) >= 0x80U; });
    std::string sent(cursor.begin(), odd);
    if (odd != cursor.end() && *odd != '\0') {
        sent += '\x7F';
    }
    return sent;
}

}  // namespace

bool PostgresRegistry::can_be_sent(std::string_view text) {
    return text.find('\0') == std::string_view::npos && is_utf8(text);
}

Result<Rows> PostgresRegistry::run(std::string_view sql, const Parameters& parameters) {
    Result<Rows> rows = m_session.query(sql, parameters);
    if (!rows && rows.error().code == Code::not_found) {  // else it would read as: no such tenant
        rows.error().code = Code::failed;
        rows.error().message = "a table of the catalog is missing in PostgreSQL";
    }
    return rows;
}

Result<void> PostgresRegistry::write(std::string_view sql, const Parameters& parameters) {
    Result<Rows> rows = run(sql, parameters);
    return rows ? Result<void>{} : Result<void>{std::move(rows).error()};
}

Result<std::optional<TenantRecord>> PostgresRegistry::one_tenant(std::string_view sql, std::string_view name) {
    if (!can_be_sent(name)) {
        return std::optional<TenantRecord>{};
    }
    Result<Rows> rows = run(sql, Parameters().text(name));
    if (!rows) {
        return std::move(rows).error();
    }
    return rows->empty() ? std::optional<TenantRecord>{} : std::optional(tenant_of(*rows, 0));
}

Result<std::optional<TenantRecord>> PostgresRegistry::find(std::string_view id) {
    return one_tenant(
        "SELECT id, uid, name, plan, auth, status, generation, created_ms FROM mtagent.tenants WHERE id = $1", id);
}

Result<std::optional<TenantRecord>> PostgresRegistry::lock(std::string_view id) {
    return one_tenant(
        "SELECT id, uid, name, plan, auth, status, generation, created_ms FROM mtagent.tenants WHERE id = $1 "
        "FOR UPDATE",
        id);
}

Result<std::optional<TenantRecord>> PostgresRegistry::lock_owner(std::string_view key_id) {
    return one_tenant(
        "SELECT t.id, t.uid, t.name, t.plan, t.auth, t.status, t.generation, t.created_ms FROM mtagent.api_keys k "
        "JOIN mtagent.tenants t ON t.id = k.tenant WHERE k.key_id = $1 FOR UPDATE OF t",
        key_id);
}

Result<std::optional<TenantRecord>> PostgresRegistry::whole(std::string_view id) {
    if (!can_be_sent(id)) {
        return std::optional<TenantRecord>{};
    }
    Result<Rows> rows = run(
        "SELECT t.id, t.uid, t.name, t.plan, t.auth, t.status, t.generation, t.created_ms, "
        "p.kind, p.name, p.value, p.model, p.sealed_key, p.made_ms FROM mtagent.tenants t LEFT JOIN ("
        "SELECT 's' AS kind, tenant, field AS name, value, '' AS model, ''::bytea AS sealed_key, 0::bigint AS made_ms "
        "FROM mtagent.config WHERE tenant = $1 UNION ALL "
        "SELECT 'm', tenant, name, base_url, model, sealed_key, created_ms FROM mtagent.models WHERE tenant = $1"
        ") p ON p.tenant = t.id WHERE t.id = $1 ORDER BY p.kind, p.name",
        Parameters().text(id));
    if (!rows) {
        return std::move(rows).error();
    }
    if (rows->empty()) {
        return std::optional<TenantRecord>{};
    }
    TenantRecord record = tenant_of(*rows, 0);
    for (std::size_t row = 0; row < rows->size() && !rows->is_null(row, 8); ++row) {
        if (rows->text(row, 8) == "m") {
            record.models.push_back({rows->text(row, 9), rows->text(row, 10), rows->text(row, 11), rows->bytes(row, 12),
                                     from_ms(rows->integer(row, 13))});
            continue;
        }
        if (Result<void> known = rules::read_setting(record.own, rows->text(row, 9), rows->text(row, 10)); !known) {
            return Error{Code::failed, fmt::format("the settings of tenant '{}': {}", id, known.error().message)};
        }
    }
    return std::optional(std::move(record));
}

Result<std::vector<TenantRecord>> PostgresRegistry::list(std::string_view cursor, std::int64_t limit) {
    return tenants_of(
        run("SELECT id, uid, name, plan, auth, status, generation, created_ms FROM mtagent.tenants "
            "WHERE id > $1 AND status <> 'removed' ORDER BY id LIMIT $2",
            Parameters().text(cursor_of(cursor)).integer(limit)));
}

Result<std::vector<TenantRecord>> PostgresRegistry::removing() {
    return tenants_of(
        run("SELECT id, uid, name, plan, auth, status, generation, created_ms FROM mtagent.tenants "
            "WHERE status = 'removing' ORDER BY id"));
}

Result<std::vector<std::string>> PostgresRegistry::open_tenants(std::int64_t limit) {
    Result<Rows> rows =
        run("SELECT id FROM mtagent.tenants WHERE auth = 'open' AND status IN ('active', 'suspended') "
            "ORDER BY id LIMIT $1",
            Parameters().integer(limit));
    if (!rows) {
        return std::move(rows).error();
    }
    std::vector<std::string> ids;
    for (std::size_t row = 0; row < rows->size(); ++row) {
        ids.push_back(rows->text(row, 0));
    }
    return ids;
}

Result<void> PostgresRegistry::publish(const TenantRecord& record, const std::vector<AuditEvent>& events) {
    std::vector<std::string> subjects;
    std::vector<std::string> befores;
    std::vector<std::string> afters;
    for (const AuditEvent& event : events) {
        subjects.push_back(event.subject);
        befores.push_back(event.before);
        afters.push_back(event.after);
    }
    const AuditEvent event = events.empty() ? AuditEvent{} : events.front();
    Parameters parameters;
    parameters.text(record.id).text(record.name).text(record.plan).text(record.auth).text(to_string(record.status));
    parameters.integer(record.generation).integer(to_ms(event.at)).text(event.who).text(event.action);
    parameters.texts(subjects).texts(befores).texts(afters);
    return write(
        "WITH bumped AS (UPDATE mtagent.counters SET value = value + 1 WHERE name = 'change' RETURNING value), "
        "written AS (UPDATE mtagent.tenants SET name = $2::text, plan = $3::text, auth = $4::text, "
        "status = $5::text, generation = $6::bigint, changed = bumped.value FROM bumped WHERE id = $1::text), "
        "noted AS (INSERT INTO mtagent.audit_events(at_ms, who, action, tenant, subject, before, after) "
        "SELECT $7::bigint, $8::text, $9::text, $1::text, e.subject, e.before, e.after FROM bumped, "
        "unnest($10::text[], $11::text[], $12::text[]) WITH ORDINALITY AS e(subject, before, after, place) "
        "ORDER BY e.place) "
        "SELECT pg_notify('mtagent_changes', '') FROM bumped",
        parameters);
}

Result<void> PostgresRegistry::publish_operator_keys(const AuditEvent& event) {
    Parameters parameters;
    parameters.integer(to_ms(event.at)).text(event.who).text(event.action).text(event.subject);
    parameters.text(event.before).text(event.after);
    return write(
        "WITH bumped AS (UPDATE mtagent.counters SET value = value + 1 WHERE name = 'change' RETURNING value), "
        "marked AS (UPDATE mtagent.counters SET value = bumped.value FROM bumped WHERE name = 'operator_keys'), "
        "noted AS (INSERT INTO mtagent.audit_events(at_ms, who, action, tenant, subject, before, after) "
        "SELECT $1::bigint, $2::text, $3::text, '', $4::text, $5::text, $6::text FROM bumped) "
        "SELECT pg_notify('mtagent_changes', '') FROM bumped",
        parameters);
}

Result<std::vector<AuditEvent>> PostgresRegistry::history(std::string_view tenant, std::int64_t limit) {
    if (!can_be_sent(tenant)) {
        return std::vector<AuditEvent>{};
    }
    Result<Rows> rows = tenant.empty()
                            ? run("SELECT at_ms, who, action, tenant, subject, before, after FROM mtagent.audit_events "
                                  "ORDER BY sequence DESC LIMIT $1",
                                  Parameters().integer(limit))
                            : run("SELECT at_ms, who, action, tenant, subject, before, after FROM mtagent.audit_events "
                                  "WHERE tenant = $1 ORDER BY sequence DESC LIMIT $2",
                                  Parameters().text(tenant).integer(limit));
    if (!rows) {
        return std::move(rows).error();
    }
    std::vector<AuditEvent> events;
    for (std::size_t row = 0; row < rows->size(); ++row) {
        events.push_back({from_ms(rows->integer(row, 0)), rows->text(row, 1), rows->text(row, 2), rows->text(row, 3),
                          rows->text(row, 4), rows->text(row, 5), rows->text(row, 6)});
    }
    return events;
}

Result<Changes> PostgresRegistry::changes_since(std::int64_t sequence) {
    Result<Rows> counters =
        run("SELECT c.value, o.value FROM mtagent.counters c, mtagent.counters o "
            "WHERE c.name = 'change' AND o.name = 'operator_keys'");
    if (!counters) {
        return std::move(counters).error();
    }
    if (counters->empty()) {
        return Error{Code::failed, "the counters of the catalog are missing in PostgreSQL"};
    }
    Changes changes;
    changes.sequence = counters->integer(0, 0);
    if (changes.sequence == sequence || sequence == k_only_sequence) {
        return changes;
    }
    // A server that took over without the last changes counts from an earlier number: then anything may be different.
    const std::int64_t since = changes.sequence < sequence ? 0 : sequence;
    changes.operator_keys = counters->integer(0, 1) > since || since != sequence;
    Result<Rows> rows =
        run("SELECT id FROM mtagent.tenants WHERE changed > $1 ORDER BY changed", Parameters().integer(since));
    if (!rows) {
        return std::move(rows).error();
    }
    for (std::size_t row = 0; row < rows->size(); ++row) {
        changes.tenants.push_back(rows->text(row, 0));
    }
    return changes;
}

// Rows of nobody cannot come from this program; a restored copy, or hands in the database, can make them.
Result<std::string> PostgresRegistry::integrity() {
    Result<Rows> rows =
        run("WITH owned AS ("
            "SELECT 'config' AS place, tenant FROM mtagent.config UNION ALL "
            "SELECT 'models', tenant FROM mtagent.models UNION ALL "
            "SELECT 'configured_keys', tenant FROM mtagent.configured_keys UNION ALL "
            "SELECT 'api_keys', tenant FROM mtagent.api_keys WHERE tenant <> '') "
            "SELECT place, count(*), min(tenant) FROM owned WHERE NOT EXISTS ("
            "SELECT 1 FROM mtagent.tenants t WHERE t.id = owned.tenant AND t.status <> 'removed') "
            "GROUP BY place UNION ALL "
            "SELECT 'counters', max(changed), '' FROM mtagent.tenants HAVING max(changed) > "
            "coalesce((SELECT value FROM mtagent.counters WHERE name = 'change'), -1) ORDER BY 1");
    if (!rows) {
        return std::move(rows).error();
    }
    std::vector<std::string> faults;
    for (std::size_t row = 0; row < rows->size(); ++row) {
        const std::string place = rows->text(row, 0);
        faults.push_back(place == "counters"
                             ? fmt::format("mtagent.counters is behind change {}", rows->integer(row, 1))
                             : fmt::format("mtagent.{} has {} rows of no tenant, the first of {}", place,
                                           rows->integer(row, 1), quote(rows->text(row, 2))));
    }
    return faults.empty() ? "ok" : join(faults, "; ");
}

}  // namespace mt
