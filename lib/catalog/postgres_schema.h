#pragma once

#include <string>
#include <string_view>

namespace mt {

/// Where the catalog lives in PostgreSQL, and whom every change is told to.
inline constexpr std::string_view k_catalog_schema = "mtagent";
inline constexpr std::string_view k_catalog_part = "catalog";
inline constexpr std::string_view k_changes_channel = "mtagent_changes";

// tenants.changed is the value of counters.change at the last change: taken inside the change's transaction, so that
// its order is the order of the commits. config: a tenant's own settings as text, as in a tenant's file.
// configured_keys: whose key_hashes an id stands in. Names are compared as bytes, whatever the database's collation.
inline constexpr std::string_view k_catalog_schema_1 = R"sql(
CREATE TABLE tenants(
    id text COLLATE "C" PRIMARY KEY, uid text NOT NULL, name text NOT NULL, plan text NOT NULL, auth text NOT NULL,
    status text NOT NULL CHECK(status IN ('active', 'suspended', 'removing', 'removed')),
    generation bigint NOT NULL, created_ms bigint NOT NULL, changed bigint NOT NULL);
CREATE INDEX tenants_by_change ON tenants(changed);
CREATE INDEX tenants_open ON tenants(id) WHERE auth = 'open' AND status IN ('active', 'suspended');
CREATE INDEX tenants_removing ON tenants(id) WHERE status = 'removing';
CREATE TABLE config(
    tenant text COLLATE "C", field text COLLATE "C", value text NOT NULL, PRIMARY KEY(tenant, field));
CREATE TABLE config_history(
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant text COLLATE "C" NOT NULL,
    generation bigint NOT NULL, at_ms bigint NOT NULL, who text NOT NULL, field text NOT NULL, before text, after text);
CREATE INDEX config_history_by_tenant ON config_history(tenant, sequence);
CREATE TABLE models(
    tenant text COLLATE "C", name text COLLATE "C", base_url text NOT NULL, model text NOT NULL,
    sealed_key bytea NOT NULL, created_ms bigint NOT NULL, PRIMARY KEY(tenant, name));
CREATE TABLE api_keys(
    key_id text COLLATE "C" PRIMARY KEY, tenant text COLLATE "C" NOT NULL, name text NOT NULL, hash bytea NOT NULL,
    created_ms bigint NOT NULL, expires_ms bigint, revoked_ms bigint, read_only boolean NOT NULL);
CREATE INDEX api_keys_by_tenant ON api_keys(tenant, created_ms);
CREATE TABLE configured_keys(key_id text COLLATE "C", tenant text COLLATE "C", PRIMARY KEY(key_id, tenant));
CREATE INDEX configured_keys_by_tenant ON configured_keys(tenant);
CREATE TABLE audit_events(
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at_ms bigint NOT NULL, who text NOT NULL,
    action text NOT NULL, tenant text COLLATE "C" NOT NULL, subject text NOT NULL, before text NOT NULL,
    after text NOT NULL);
CREATE INDEX audit_events_by_tenant ON audit_events(tenant, sequence);
CREATE TABLE counters(name text COLLATE "C" PRIMARY KEY, value bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO counters VALUES('change', 0), ('operator_keys', 0);
)sql";

}  // namespace mt
