#include "catalog/registry.h"

#include <algorithm>

#include "catalog/rules.h"

namespace mt {
namespace {

using rules::from_ms;
using rules::to_ms;

TenantRecord tenant_of(const Query& row) {
    TenantRecord record;
    record.id = row.text(0);
    record.uid = row.text(1);
    record.name = row.text(2);
    record.plan = row.text(3);
    record.auth = row.text(4);
    record.status = rules::to_status(row.text(5));
    record.generation = row.integer(6);
    record.created = from_ms(row.integer(7));
    return record;
}

KeyRecord key_of(const Query& row) {
    KeyRecord key;
    key.key_id = row.text(0);
    key.tenant = row.text(1);
    key.name = row.text(2);
    const std::string hash = row.text(3);
    std::transform(hash.begin(), hash.begin() + static_cast<std::ptrdiff_t>(std::min(hash.size(), key.hash.size())),
                   key.hash.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
    key.created = from_ms(row.integer(4));
    key.expires = row.is_null(5) ? std::nullopt : std::optional(from_ms(row.integer(5)));
    key.revoked = row.is_null(6) ? std::nullopt : std::optional(from_ms(row.integer(6)));
    key.read_only = row.integer(7) != 0;
    return key;
}

}  // namespace

std::optional<TenantRecord> Registry::find(std::string_view id) {
    Query row =
        m_database.query("SELECT id, uid, name, plan, auth, status, generation, created_ms FROM tenants WHERE id = ?");
    return row.bind(1, id).step() ? std::optional(tenant_of(row)) : std::nullopt;
}

std::vector<TenantRecord> Registry::list(std::string_view cursor, std::int64_t limit) {
    Query row = m_database.query(
        "SELECT id, uid, name, plan, auth, status, generation, created_ms FROM tenants "
        "WHERE id > ? AND status <> 'removed' ORDER BY id LIMIT ?");
    row.bind(1, cursor).bind(2, limit);
    std::vector<TenantRecord> records;
    while (row.step()) {
        records.push_back(tenant_of(row));
    }
    return records;
}

std::vector<TenantRecord> Registry::removing() {
    Query row = m_database.query(
        "SELECT id, uid, name, plan, auth, status, generation, created_ms FROM tenants WHERE status = 'removing'");
    std::vector<TenantRecord> records;
    while (row.step()) {
        records.push_back(tenant_of(row));
    }
    return records;
}

std::vector<std::string> Registry::open_tenants(std::int64_t limit) {
    Query row = m_database.query(
        "SELECT id FROM tenants WHERE auth = 'open' AND status IN ('active', 'suspended') ORDER BY id LIMIT ?");
    row.bind(1, limit);
    std::vector<std::string> ids;
    while (row.step()) {
        ids.push_back(row.text(0));
    }
    return ids;
}

void Registry::put(const TenantRecord& record) {
    const std::int64_t change = next_change();
    m_database
        .query(
            "INSERT INTO tenants VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET uid = excluded.uid, "
            "name = excluded.name, plan = excluded.plan, auth = excluded.auth, status = excluded.status, "
            "generation = excluded.generation, created_ms = excluded.created_ms, changed = excluded.changed")
        .bind(1, record.id)
        .bind(2, record.uid)
        .bind(3, record.name)
        .bind(4, record.plan)
        .bind(5, record.auth)
        .bind(6, to_string(record.status))
        .bind(7, record.generation)
        .bind(8, to_ms(record.created))
        .bind(9, change)
        .execute();
}

std::optional<KeyRecord> Registry::key(std::string_view key_id) {
    Query row = m_database.query(
        "SELECT key_id, tenant, name, hash, created_ms, expires_ms, revoked_ms, read_only FROM api_keys "
        "WHERE key_id = ?");
    return row.bind(1, key_id).step() ? std::optional(key_of(row)) : std::nullopt;
}

std::vector<KeyRecord> Registry::keys(std::string_view tenant) {
    Query row = m_database.query(
        "SELECT key_id, tenant, name, hash, created_ms, expires_ms, revoked_ms, read_only FROM api_keys "
        "WHERE tenant = ? ORDER BY created_ms, key_id");
    row.bind(1, tenant);
    std::vector<KeyRecord> records;
    while (row.step()) {
        records.push_back(key_of(row));
    }
    return records;
}

void Registry::put_key(const KeyRecord& record) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes as a blob
    const std::string_view hash(reinterpret_cast<const char*>(record.hash.data()), record.hash.size());
    Query row = m_database.query(
        "INSERT INTO api_keys VALUES(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(key_id) DO UPDATE SET "
        "expires_ms = excluded.expires_ms, revoked_ms = excluded.revoked_ms");
    row.bind(1, record.key_id).bind(2, record.tenant).bind(3, record.name).bind_blob(4, hash);
    row.bind(5, to_ms(record.created));
    record.expires ? row.bind(6, to_ms(*record.expires)) : row.bind_null(6);
    record.revoked ? row.bind(7, to_ms(*record.revoked)) : row.bind_null(7);
    row.bind(8, std::int64_t{record.read_only ? 1 : 0}).execute();
}

std::optional<std::string> Registry::key_owner(std::string_view key_id) {
    Query row = m_database.query(
        "SELECT tenant FROM api_keys WHERE key_id = ?1 AND tenant <> '' "
        "UNION SELECT tenant FROM configured_keys WHERE key_id = ?1 ORDER BY tenant LIMIT 1");
    return row.bind(1, key_id).step() ? std::optional(row.text(0)) : std::nullopt;
}

void Registry::put_configured_keys(std::string_view tenant, const std::vector<std::string>& key_ids) {
    m_database.query("DELETE FROM configured_keys WHERE tenant = ?").bind(1, tenant).execute();
    for (const std::string& key_id : key_ids) {
        m_database.query("INSERT OR IGNORE INTO configured_keys VALUES(?, ?)")
            .bind(1, key_id)
            .bind(2, tenant)
            .execute();
    }
}

void Registry::erase_keys(std::string_view tenant) {
    put_configured_keys(tenant, {});
    m_database.query("DELETE FROM api_keys WHERE tenant = ?").bind(1, tenant).execute();
}

void Registry::erase_details(std::string_view tenant) {
    m_database.query("UPDATE audit_events SET before = '', after = '' WHERE tenant = ?").bind(1, tenant).execute();
}

void Registry::touch_operator_keys() {
    const std::int64_t change = next_change();
    m_database.query("UPDATE counters SET value = ? WHERE name = 'operator_keys'").bind(1, change).execute();
}

void Registry::audit(const AuditEvent& event) {
    m_database
        .query(
            "INSERT INTO audit_events(at_ms, who, action, tenant, subject, before, after) "
            "VALUES(?, ?, ?, ?, ?, ?, ?)")
        .bind(1, to_ms(event.at))
        .bind(2, event.who)
        .bind(3, event.action)
        .bind(4, event.tenant)
        .bind(5, event.subject)
        .bind(6, event.before)
        .bind(7, event.after)
        .execute();
}

std::vector<AuditEvent> Registry::history(std::string_view tenant, std::int64_t limit) {
    Query row = m_database.query(
        "SELECT at_ms, who, action, tenant, subject, before, after FROM audit_events "
        "WHERE tenant = ?1 OR ?1 = '' ORDER BY sequence DESC LIMIT ?2");
    row.bind(1, tenant).bind(2, limit);
    std::vector<AuditEvent> events;
    while (row.step()) {
        events.push_back(
            {from_ms(row.integer(0)), row.text(1), row.text(2), row.text(3), row.text(4), row.text(5), row.text(6)});
    }
    return events;
}

Changes Registry::changes_since(std::int64_t sequence) {
    Changes changes;
    changes.sequence = counter("change");
    if (changes.sequence == sequence) {
        return changes;
    }
    changes.operator_keys = counter("operator_keys") > sequence;
    Query row = m_database.query("SELECT id FROM tenants WHERE changed > ? ORDER BY changed");
    row.bind(1, sequence);
    while (row.step()) {
        changes.tenants.push_back(row.text(0));
    }
    return changes;
}

LedgerWriter Registry::note_writer(std::string_view writer, WallTime now) {
    m_database
        .query(
            "INSERT INTO ledger_writers SELECT ?1, (SELECT count(*) FROM ledger_writers), "
            "iif(EXISTS(SELECT 1 FROM ledger_writers), ?2, 0) WHERE true ON CONFLICT(writer) DO NOTHING")
        .bind(1, writer)
        .bind(2, to_ms(now))
        .execute();
    Query row = m_database.query(
        "SELECT since_ms, number = (SELECT max(number) FROM ledger_writers) FROM ledger_writers WHERE writer = ?");
    row.bind(1, writer).step();
    return {from_ms(row.integer(0)), row.integer(1) != 0};
}

std::int64_t Registry::next_change() {
    m_database.query("UPDATE counters SET value = value + 1 WHERE name = 'change'").execute();
    return counter("change");
}

std::int64_t Registry::counter(std::string_view name) {
    Query row = m_database.query("SELECT value FROM counters WHERE name = ?");
    return row.bind(1, name).step() ? row.integer(0) : 0;
}

}  // namespace mt
