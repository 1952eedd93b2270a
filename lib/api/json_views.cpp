#include "api/json_views.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/text.h"

namespace mt::api {
namespace {

double three_decimals(double value) {
    return std::round(value * 1000) / 1000;
}

Json time_or_null(const std::optional<WallTime>& time) {
    return time ? Json(format_rfc3339(*time)) : Json(nullptr);
}

// Everything that is counted.
Json counts_json(const Totals& totals) {
    return {{"requests", totals.requests()},
            {"allowed", totals.allowed()},
            {"denied", totals.denied()},
            {"avg_latency_ms", three_decimals(totals.average_latency_ms())},
            {"served", totals.of(Counter::served)},
            {"errors", totals.of(Counter::failed)},
            {"unauthorized", totals.of(Counter::unauthorized)},
            {"denied_by_reason",
             {{"requests", totals.of(Counter::denied_requests)},
              {"tokens", totals.of(Counter::denied_tokens)},
              {"concurrency", totals.of(Counter::denied_concurrency)},
              {"budget", totals.of(Counter::denied_budget)},
              {"feature", totals.of(Counter::denied_feature)},
              {"overload", totals.of(Counter::denied_overload)}}},
            {"cache_hits", totals.of(Counter::cache_hits)},
            {"cache_misses", totals.of(Counter::cache_misses)},
            {"tokens_in", totals.of(Counter::tokens_in)},
            {"tokens_out", totals.of(Counter::tokens_out)}};
}

std::optional<Value> to_value(const Json& json) {
    if (json.is_number_unsigned() && json.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
        return std::nullopt;
    }
    if (json.is_number_integer()) {
        return json.get<std::int64_t>();
    }
    if (json.is_boolean()) {
        return json.get<bool>();
    }
    if (json.is_string()) {
        return json.get<std::string>();
    }
    const bool texts =
        json.is_array() && std::all_of(json.begin(), json.end(), [](const Json& entry) { return entry.is_string(); });
    return texts ? std::optional<Value>(json.get<std::vector<std::string>>()) : std::nullopt;
}

}  // namespace

Json stats_json(const TenantSample& sample) {
    Json json = counts_json(sample.totals);
    json["storage_bytes"] = sample.gauges.storage_bytes;
    json["cache_entries"] = sample.gauges.cache_entries;
    json["in_flight"] = sample.gauges.in_flight;
    return json;
}

Json all_stats_json(const std::vector<TenantSample>& samples) {
    // Json looks through all members for each that is assigned; here no name comes twice.
    Json::object_t all;
    all.reserve(samples.size());
    for (const TenantSample& sample : samples) {
        all.emplace_back(sample.tenant, stats_json(sample));
    }
    return all;
}

Json percentiles_json(const Totals& totals) {
    return {{"p50", three_decimals(totals.latency_percentile_ms(0.50))},
            {"p90", three_decimals(totals.latency_percentile_ms(0.90))},
            {"p99", three_decimals(totals.latency_percentile_ms(0.99))}};
}

Json period_json(const Period& period) {
    Json json{{"start", format_rfc3339(period.start)}};
    json.update(counts_json(period.totals));
    json["latency_ms"] = percentiles_json(period.totals);
    return json;
}

Json tenant_row_json(const TenantRecord& record) {
    return {{"id", record.id},
            {"name", record.name},
            {"plan", record.plan},
            {"status", to_string(record.status)},
            {"generation", record.generation},
            {"created_at", format_rfc3339(record.created)}};
}

Json tenant_json(const TenantRecord& record, const Config& config) {
    const TenantConfig resolved = config.resolve(record.id, record.own);
    Json json = tenant_row_json(record);
    for (const TenantField& field : tenant_fields()) {
        json[std::string(field.rule.name)] = value_json(field.rule, value_of(resolved, field));
    }
    Json overrides = Json::array();
    for (const auto& [name, value] : record.own) {
        overrides.push_back(name);
    }
    json["overrides"] = std::move(overrides);
    return json;
}

Json key_json(const KeyRecord& key, WallTime now) {
    return {{"key_id", key.key_id},
            {"tenant", key.tenant.empty() ? Json(nullptr) : Json(key.tenant)},
            {"name", key.name},
            {"status", key.is_live(now)                     ? "active"
                       : key.revoked && *key.revoked <= now ? "revoked"
                                                            : "expired"},
            {"read_only", key.read_only},
            {"created_at", format_rfc3339(key.created)},
            {"expires_at", time_or_null(key.expires)},
            {"revoked_at", time_or_null(key.revoked)}};
}

Json new_key_json(const NewKey& key, WallTime now) {
    Json json = key_json(key.record, now);
    json["api_key"] = key.text;
    return json;
}

Json own_model_json(const TenantModel& model) {
    return {{"name", model.name},
            {"base_url", model.base_url},
            {"model", model.model},
            {"has_key", !model.sealed_key.empty()},
            {"created_at", format_rfc3339(model.created)}};
}

Json event_json(const AuditEvent& event) {
    return {
        {"at", format_rfc3339(event.at)}, {"who", event.who},       {"action", event.action}, {"tenant", event.tenant},
        {"subject", event.subject},       {"before", event.before}, {"after", event.after}};
}

Json session_json(const SessionInfo& session) {
    return {{"id", session.id},
            {"created_at", format_rfc3339(session.created)},
            {"updated_at", format_rfc3339(session.updated)},
            {"turns", session.turns}};
}

Json message_json(const Message& message) {
    Json json{{"role", to_string(message.role)}, {"content", message.content}};
    for (const ToolCall& call : message.tool_calls) {
        json["tool_calls"].push_back({{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
    }
    if (!message.tool_call_id.empty()) {
        json["tool_call_id"] = message.tool_call_id;
    }
    return json;
}

Json value_json(const FieldRule& rule, const Value& value) {
    if (rule.kind == FieldKind::duration) {
        return format_value(rule, value);
    }
    return std::visit([](const auto& held) { return Json(held); }, value);
}

Result<SettingChanges> parse_settings(const Json& object, std::span<const std::string_view> skip) {
    SettingChanges changes;
    for (const auto& [name, json] : object.items()) {
        if (std::find(skip.begin(), skip.end(), name) != skip.end()) {
            continue;
        }
        const TenantField* field = find_tenant_field(name);
        if (field == nullptr) {
            return Error{Code::invalid, fmt::format("unknown field {}{}", quote(name), tenant_field_suggestion(name))};
        }
        if (json.is_null()) {
            changes.emplace(name, std::nullopt);
            continue;
        }
        const std::optional<Value> value = to_value(json);
        if (!value) {
            return Error{Code::invalid, fmt::format("{}: wrong type, expected {}", name, expectation(field->rule))};
        }
        Result<Value> checked = check_value(field->rule, *value);
        if (!checked) {
            return std::move(checked).error();
        }
        changes.emplace(name, *std::move(checked));
    }
    return changes;
}

}  // namespace mt::api
