#pragma once

#include <array>
#include <string_view>

#include "sqlite/database.h"

namespace mt {

// registry.db: the index for routing and authentication. `changed` is the value of counters.change at the last change.
// configured_keys: whose key_hashes an id stands in; the hashes themselves are in the tenant's file.
// ledger_writers: who has ever counted in this folder, one slot file each, in which order, and since when; 0: ever.
inline constexpr std::array<std::string_view, 3> k_registry_steps{R"sql(
CREATE TABLE tenants(
    id TEXT PRIMARY KEY, uid TEXT NOT NULL, name TEXT NOT NULL, plan TEXT NOT NULL, auth TEXT NOT NULL,
    status TEXT NOT NULL CHECK(status IN ('active', 'suspended', 'removing', 'removed')),
    generation INTEGER NOT NULL, created_ms INTEGER NOT NULL, changed INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX tenants_by_change ON tenants(changed);
CREATE INDEX tenants_open ON tenants(id) WHERE auth = 'open' AND status IN ('active', 'suspended');
CREATE TABLE api_keys(
    key_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL, created_ms INTEGER NOT NULL,
    expires_ms INTEGER, revoked_ms INTEGER, read_only INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_tenant ON api_keys(tenant, created_ms);
CREATE TABLE audit_events(
    sequence INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, tenant TEXT NOT NULL,
    subject TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL) STRICT;
CREATE INDEX audit_events_by_tenant ON audit_events(tenant, sequence);
CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES('change', 0), ('operator_keys', 0);
)sql",
                                                                  R"sql(
CREATE TABLE configured_keys(key_id TEXT, tenant TEXT, PRIMARY KEY(key_id, tenant)) STRICT, WITHOUT ROWID;
CREATE INDEX configured_keys_by_tenant ON configured_keys(tenant);
)sql",
                                                                  R"sql(
CREATE TABLE ledger_writers(
    writer TEXT PRIMARY KEY, number INTEGER NOT NULL, since_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
)sql"};
inline constexpr SchemaPart k_registry_part{"registry", k_registry_steps};

// The part of a tenant's own file that holds its settings: the truth, with history.
inline constexpr std::array<std::string_view, 1> k_config_steps{R"sql(
CREATE TABLE identity(
    one INTEGER PRIMARY KEY CHECK(one = 1), uid TEXT NOT NULL, generation INTEGER NOT NULL, created_ms INTEGER NOT NULL)
    STRICT;
CREATE TABLE config(field TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE config_history(
    sequence INTEGER PRIMARY KEY, generation INTEGER NOT NULL, at_ms INTEGER NOT NULL, who TEXT NOT NULL,
    field TEXT NOT NULL, before TEXT, after TEXT) STRICT;
)sql"};
inline constexpr SchemaPart k_config_part{"config", k_config_steps};

// The part with its own language models; made when it gets the first.
inline constexpr std::array<std::string_view, 1> k_models_steps{R"sql(
CREATE TABLE models(
    name TEXT PRIMARY KEY, base_url TEXT NOT NULL, model TEXT NOT NULL, sealed_key BLOB NOT NULL,
    created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
)sql"};
inline constexpr SchemaPart k_models_part{"models", k_models_steps};

}  // namespace mt
