#pragma once

#include <string_view>
#include <vector>

#include "agent/session.h"
#include "api/reply.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "stats/history.h"
#include "stats/metrics.h"

// What the JSON of this program looks like, for HTTP and the command line alike. Fields are only ever added. Times are
// RFC 3339 in UTC, units stand in the names. Pure functions.
namespace mt::api {

/// {"requests", "allowed", "denied", "avg_latency_ms", ...}
Json stats_json(const TenantSample& sample);
/// {"<tenant>": stats_json, ...}
Json all_stats_json(const std::vector<TenantSample>& samples);
/// {"p50", "p90", "p99"} of the latency in milliseconds.
Json percentiles_json(const Totals& totals);
/// One step of a series: when it began, what was counted in it, percentiles.
Json period_json(const Period& period);

/// A listing's row: id, name, plan, status, generation, created_at.
Json tenant_row_json(const TenantRecord& record);
/// The row and every setting as it is in force; `overrides` names the tenant's own.
Json tenant_json(const TenantRecord& record, const Config& config);
/// Never the key's text or hash.
Json key_json(const KeyRecord& key, WallTime now);
/// key_json and the text, shown once, as `api_key`.
Json new_key_json(const NewKey& key, WallTime now);
/// A model of a tenant's own; of its key only whether there is one.
Json own_model_json(const TenantModel& model);
Json event_json(const AuditEvent& event);
Json session_json(const SessionInfo& session);
Json message_json(const Message& message);

/// A setting's value as JSON; durations as text ("5m"), sizes in bytes.
Json value_json(const FieldRule& rule, const Value& value);

/// Reads settings from a JSON object: the names of tenants.toml, null takes a setting back. `skip`: names that are no
/// settings here. Errors: invalid (unknown name with the nearest one, wrong type, out of range).
Result<SettingChanges> parse_settings(const Json& object, std::span<const std::string_view> skip);

}  // namespace mt::api
