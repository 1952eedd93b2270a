// Writing: lives, their settings and models; and keys.

#include <algorithm>
#include <utility>

#include "catalog/postgres_registry.h"

namespace mt {
namespace {

using postgres::Parameters;
using postgres::Rows;
using rules::from_ms;
using rules::to_ms;

std::optional<WallTime> time_or_none(const Rows& rows, std::size_t row, int column) {
    return rows.is_null(row, column) ? std::nullopt : std::optional(from_ms(rows.integer(row, column)));
}

void add_time(Parameters& parameters, const std::optional<WallTime>& time) {
    time ? parameters.integer(to_ms(*time)) : parameters.null();
}

KeyRecord key_of(const Rows& rows, std::size_t row) {
    KeyRecord key;
    key.key_id = rows.text(row, 0);
    key.tenant = rows.text(row, 1);
    key.name = rows.text(row, 2);
    const std::string hash = rows.bytes(row, 3);
    std::transform(hash.begin(), hash.begin() + static_cast<std::ptrdiff_t>(std::min(hash.size(), key.hash.size())),
                   key.hash.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
    key.created = from_ms(rows.integer(row, 4));
    key.expires = time_or_none(rows, row, 5);
    key.revoked = time_or_none(rows, row, 6);
    key.read_only = rows.boolean(row, 7);
    return key;
}

// A change of one model as history has it; $6 and what follows is the statement's own.
Parameters model_change(const TenantRecord& record, std::string_view name, const rules::Actor& actor) {
    Parameters parameters;
    parameters.text(record.id).text(name).integer(record.generation).integer(to_ms(actor.at)).text(actor.who);
    return parameters;
}

}  // namespace

Result<std::optional<std::int64_t>> PostgresRegistry::claim(const TenantRecord& record) {
    Parameters parameters;
    parameters.text(record.id).text(record.uid).text(record.name).text(record.plan).text(record.auth);
    parameters.text(to_string(record.status)).integer(record.generation).integer(to_ms(record.created));
    Result<Rows> rows =
        run("INSERT INTO mtagent.tenants AS t(id, uid, name, plan, auth, status, generation, created_ms, changed) "
            "VALUES($1, $2, $3, $4, $5, $6, $7, $8, 0) ON CONFLICT(id) DO UPDATE SET uid = excluded.uid, "
            "name = excluded.name, plan = excluded.plan, auth = excluded.auth, status = excluded.status, "
            "generation = t.generation + excluded.generation, created_ms = excluded.created_ms "
            "WHERE t.status = 'removed' RETURNING generation",
            parameters);
    if (!rows) {
        return std::move(rows).error();
    }
    return rows->empty() ? std::optional<std::int64_t>{} : std::optional(rows->integer(0, 0));
}

Result<void> PostgresRegistry::put_settings(const TenantRecord& record, const SettingChanges& different,
                                            const rules::Actor& actor) {
    std::vector<std::string> fields;
    std::vector<std::string> texts;
    std::vector<std::int64_t> stays;  // 0: goes back to the plan's value
    for (const auto& [field, value] : different) {
        fields.push_back(field);
        texts.push_back(value ? rules::setting_text(field, *value) : "");
        stays.push_back(value ? 1 : 0);
    }
    if (fields.empty()) {
        return {};
    }
    Parameters parameters;
    parameters.text(record.id).texts(fields).texts(texts).integers(stays);
    parameters.integer(record.generation).integer(to_ms(actor.at)).text(actor.who);
    return write(
        "WITH given AS (SELECT field, CASE WHEN stays = 1 THEN value END AS value "
        "FROM unnest($2::text[], $3::text[], $4::bigint[]) AS g(field, value, stays)), "
        "noted AS (INSERT INTO mtagent.config_history(tenant, generation, at_ms, who, field, before, after) "
        "SELECT $1::text, $5::bigint, $6::bigint, $7::text, given.field, present.value, given.value FROM given "
        "LEFT JOIN mtagent.config present ON present.tenant = $1::text AND present.field = given.field), "
        "gone AS (DELETE FROM mtagent.config WHERE tenant = $1::text "
        "AND field IN (SELECT field FROM given WHERE value IS NULL)) "
        "INSERT INTO mtagent.config(tenant, field, value) SELECT $1::text, field, value FROM given "
        "WHERE value IS NOT NULL ON CONFLICT(tenant, field) DO UPDATE SET value = excluded.value",
        parameters);
}

Result<void> PostgresRegistry::put_configured_keys(std::string_view tenant, const std::vector<std::string>& key_ids) {
    return write(
        "WITH gone AS (DELETE FROM mtagent.configured_keys WHERE tenant = $1::text AND key_id <> ALL($2::text[])) "
        "INSERT INTO mtagent.configured_keys(key_id, tenant) SELECT key_id, $1::text FROM unnest($2::text[]) "
        "AS given(key_id) ON CONFLICT DO NOTHING",
        Parameters().text(tenant).texts(key_ids));
}

Result<void> PostgresRegistry::put_model(const TenantRecord& record, const TenantModel& model,
                                         const rules::Actor& actor) {
    Parameters parameters = model_change(record, model.name, actor);
    parameters.text(model.base_url).text(model.model).bytes(model.sealed_key).integer(to_ms(model.created));
    parameters.text(rules::model_text(model));
    return write(
        "WITH noted AS (INSERT INTO mtagent.config_history(tenant, generation, at_ms, who, field, before, after) "
        "VALUES($1::text, $3::bigint, $4::bigint, $5::text, 'models.' || $2::text, (SELECT model || ' at ' || base_url "
        "FROM mtagent.models WHERE tenant = $1::text AND name = $2::text), $10::text)) "
        "INSERT INTO mtagent.models(tenant, name, base_url, model, sealed_key, created_ms) "
        "VALUES($1::text, $2::text, $6::text, $7::text, $8::bytea, $9::bigint) ON CONFLICT(tenant, name) DO UPDATE SET "
        "base_url = excluded.base_url, model = excluded.model, sealed_key = excluded.sealed_key, "
        "created_ms = excluded.created_ms",
        parameters);
}

Result<void> PostgresRegistry::erase_model(const TenantRecord& record, std::string_view name,
                                           const rules::Actor& actor) {
    return write(
        "WITH gone AS (DELETE FROM mtagent.models WHERE tenant = $1::text AND name = $2::text "
        "RETURNING model || ' at ' || base_url AS was) "
        "INSERT INTO mtagent.config_history(tenant, generation, at_ms, who, field, before, after) "
        "SELECT $1::text, $3::bigint, $4::bigint, $5::text, 'models.' || $2::text, was, NULL FROM gone",
        model_change(record, name, actor));
}

Result<void> PostgresRegistry::erase(std::string_view tenant) {
    return write(
        "WITH config AS (DELETE FROM mtagent.config WHERE tenant = $1::text), "
        "past AS (DELETE FROM mtagent.config_history WHERE tenant = $1::text), "
        "models AS (DELETE FROM mtagent.models WHERE tenant = $1::text), "
        "made AS (DELETE FROM mtagent.api_keys WHERE tenant = $1::text), "
        "configured AS (DELETE FROM mtagent.configured_keys WHERE tenant = $1::text) "
        "UPDATE mtagent.audit_events SET before = '', after = '' "
        "WHERE tenant = $1::text AND (before <> '' OR after <> '')",
        Parameters().text(tenant));
}

Result<std::vector<KeyRecord>> PostgresRegistry::keys(std::string_view tenant) {
    if (!can_be_sent(tenant)) {
        return std::vector<KeyRecord>{};
    }
    Result<Rows> rows =
        run("SELECT key_id, tenant, name, hash, created_ms, expires_ms, revoked_ms, read_only FROM mtagent.api_keys "
            "WHERE tenant = $1 ORDER BY created_ms, key_id",
            Parameters().text(tenant));
    if (!rows) {
        return std::move(rows).error();
    }
    std::vector<KeyRecord> keys;
    for (std::size_t row = 0; row < rows->size(); ++row) {
        keys.push_back(key_of(*rows, row));
    }
    return keys;
}

Result<std::optional<std::string>> PostgresRegistry::key_owner(std::string_view key_id) {
    if (!can_be_sent(key_id)) {
        return std::optional<std::string>{};
    }
    Result<Rows> rows =
        run("SELECT tenant FROM mtagent.api_keys WHERE key_id = $1 AND tenant <> '' "
            "UNION SELECT tenant FROM mtagent.configured_keys WHERE key_id = $1 ORDER BY tenant LIMIT 1",
            Parameters().text(key_id));
    if (!rows) {
        return std::move(rows).error();
    }
    return rows->empty() ? std::optional<std::string>{} : std::optional(rows->text(0, 0));
}

Result<std::optional<KeyRecord>> PostgresRegistry::lock_key(std::string_view key_id) {
    if (!can_be_sent(key_id)) {
        return std::optional<KeyRecord>{};
    }
    Result<Rows> rows =
        run("SELECT key_id, tenant, name, hash, created_ms, expires_ms, revoked_ms, read_only FROM mtagent.api_keys "
            "WHERE key_id = $1 FOR UPDATE",
            Parameters().text(key_id));
    if (!rows) {
        return std::move(rows).error();
    }
    return rows->empty() ? std::optional<KeyRecord>{} : std::optional(key_of(*rows, 0));
}

Result<void> PostgresRegistry::add_key(const KeyRecord& key) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes as a blob
    const std::string_view hash(reinterpret_cast<const char*>(key.hash.data()), key.hash.size());
    Parameters parameters;
    parameters.text(key.key_id).text(key.tenant).text(key.name).bytes(hash).integer(to_ms(key.created));
    add_time(parameters, key.expires);
    add_time(parameters, key.revoked);
    parameters.boolean(key.read_only);
    return write(
        "INSERT INTO mtagent.api_keys(key_id, tenant, name, hash, created_ms, expires_ms, revoked_ms, read_only) "
        "VALUES($1, $2, $3, $4, $5, $6::bigint, $7::bigint, $8)",
        parameters);
}

Result<void> PostgresRegistry::end_key(const KeyRecord& key) {
    Parameters parameters;
    parameters.text(key.key_id);
    add_time(parameters, key.revoked);
    return write("UPDATE mtagent.api_keys SET revoked_ms = $2::bigint WHERE key_id = $1", parameters);
}

}  // namespace mt
