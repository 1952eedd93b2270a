// Registration and configuration of tenants while serving; always with an operator's key.

#include <fmt/core.h>

#include <array>
#include <utility>

#include "api/exchange.h"
#include "api/json_views.h"
#include "base/text.h"
#include "base/units.h"
#include "tenant/own_model.h"

namespace mt::api {
namespace {

bool looks_only(const http::Request& request) {
    return request.method == "GET" || request.method == "HEAD";
}

SettingsCheck check_for(const Exchange& exchange, std::string id) {
    // The models are read now: while a check runs the catalog is held.
    const Result<TenantRecord> present = exchange.services.catalog.tenant(id);
    return [config = exchange.services.tenants.config(), id = std::move(id),
            models = present ? own_model_names(*present) : std::vector<std::string>{}](const Settings& own) {
        return config->check(id, own, models);
    };
}

Result<http::Response> list_tenants(const Exchange& exchange) {
    Result<std::int64_t> limit = number_parameter(exchange.request, "limit", 100, 1000);
    Result<std::string> cursor = exchange.request.parameter("cursor");
    if (!limit || (!cursor && cursor.error().code != Code::not_found)) {
        return limit ? std::move(cursor).error() : std::move(limit).error();
    }
    Result<std::vector<TenantRecord>> page = exchange.services.catalog.tenants(cursor ? *cursor : "", *limit);
    if (!page) {
        return std::move(page).error();
    }
    Json json{{"tenants", Json::array()}};
    for (const TenantRecord& record : *page) {
        json["tenants"].push_back(tenant_row_json(record));
    }
    const bool more = page->size() == static_cast<std::size_t>(*limit);
    json["next_cursor"] = more ? Json(page->back().id) : Json(nullptr);
    return json_reply(200, json);
}

Result<http::Response> add_tenant(const Exchange& exchange, const std::string& who) {
    constexpr std::array<std::string_view, 1> k_not_settings{"id"};
    Result<Json> body = json_body(exchange.request);
    if (!body) {
        return std::move(body).error();
    }
    if (!body->contains("id") || !(*body)["id"].is_string()) {
        return Error{Code::invalid, "the field 'id' is needed: a text"};
    }
    const auto id = (*body)["id"].get<std::string>();
    Result<SettingChanges> changes = parse_settings(*body, k_not_settings);
    if (!changes) {
        return std::move(changes).error();
    }
    Settings own;
    for (const auto& [name, value] : *changes) {
        if (value) {
            own.emplace(name, *value);
        }
    }
    Catalog& catalog = exchange.services.catalog;
    const Settings placed = exchange.services.tenants.config()->placed(id, std::move(own));
    Result<TenantRecord> record = catalog.create_tenant(id, placed, check_for(exchange, id), who);
    if (!record) {
        return std::move(record).error();
    }
    Result<NewKey> key = catalog.create_key({id, "first key"}, who);
    if (!key) {
        return std::move(key).error();
    }
    apply_now(exchange);
    Json json = tenant_json(*record, *exchange.services.tenants.config());
    json["key_id"] = key->record.key_id;
    json["api_key"] = key->text;
    http::Response reply = json_reply(201, json);
    reply.fields.emplace_back("Location", "/admin/tenants/" + id);
    reply.fields.emplace_back("Cache-Control", "no-store");
    return reply;
}

// The wanted status of a PATCH, taken out of the settings.
Result<std::optional<bool>> wanted_suspension(const Json& body) {
    const auto status = body.find("status");
    if (status == body.end()) {
        return std::optional<bool>{};
    }
    if (*status != "active" && *status != "suspended") {
        return Error{Code::invalid, "status: expected \"active\" or \"suspended\""};
    }
    return std::optional(*status == "suspended");
}

Result<http::Response> show_tenant(const Exchange& exchange, const std::string& id) {
    Result<TenantRecord> record = exchange.services.catalog.tenant(id);
    if (!record) {
        return std::move(record).error();
    }
    return json_reply(200, tenant_json(*record, *exchange.services.tenants.config()));
}

Result<http::Response> patch_tenant(const Exchange& exchange, const std::string& id, const std::string& who) {
    constexpr std::array<std::string_view, 1> k_not_settings{"status"};
    Result<Json> body = json_body(exchange.request);
    if (!body) {
        return std::move(body).error();
    }
    Result<std::optional<bool>> suspend = wanted_suspension(*body);
    Result<SettingChanges> changes = parse_settings(*body, k_not_settings);
    if (!suspend || !changes) {
        return suspend ? std::move(changes).error() : std::move(suspend).error();
    }
    Catalog& catalog = exchange.services.catalog;
    Result<TenantRecord> record = catalog.tenant(id);
    if (record && !changes->empty()) {
        const SettingChanges placed = exchange.services.tenants.config()->placed(id, record->own, *std::move(changes));
        record = catalog.update_tenant(id, placed, check_for(exchange, id), who);
    }
    if (record && *suspend) {
        record = catalog.set_suspended(id, **suspend, who);
    }
    if (!record) {
        return std::move(record).error();
    }
    apply_now(exchange);
    return show_tenant(exchange, id);
}

Result<http::Response> remove_tenant(const Exchange& exchange, const std::string& id, const std::string& who) {
    Catalog& catalog = exchange.services.catalog;
    if (Result<void> marked = catalog.begin_removal(id, who); !marked) {
        return std::move(marked).error();
    }
    apply_now(exchange);
    Result<TenantRecord> row = catalog.row(id);
    if (row && row->status == TenantStatus::removing) {
        return json_reply(202, tenant_row_json(*row));  // calls of the tenant still run
    }
    return no_content();
}

Result<KeyRequest> key_request(const Json& body, const std::string& tenant) {
    constexpr std::array<std::string_view, 2> k_fields{"name", "expires"};
    KeyRequest request{tenant};
    for (const auto& [name, value] : body.items()) {
        if ((name != "name" && name != "expires") || !value.is_string()) {
            return Error{Code::invalid, fmt::format("{}: not a text, or unknown{}", name, suggestion(name, k_fields))};
        }
    }
    request.name = body.value("name", "");
    if (body.contains("expires")) {
        Result<std::chrono::milliseconds> period = parse_duration(body["expires"].get<std::string>());
        if (!period) {
            return Error{Code::invalid, "expires: " + period.error().message};
        }
        request.expires_in = *period;
    }
    return request;
}

}  // namespace

Result<std::string> operator_of(const Exchange& exchange) {
    return authorize_operator(exchange, looks_only(exchange.request) ? OperatorRight::look : OperatorRight::change);
}

void apply_now(const Exchange& exchange) {
    // A fault here shows in readiness and is tried again by the manager: the change itself is done.
    const Result<void> applied = exchange.services.tenants.refresh();
    static_cast<void>(applied);
}

http::Response no_content() {
    http::Response nothing;
    nothing.status = 204;
    return nothing;
}

Result<http::Response> admin_tenants(Exchange& exchange) {
    Result<std::string> who = operator_of(exchange);
    if (!who) {
        return std::move(who).error();
    }
    return exchange.request.method == "POST" ? add_tenant(exchange, *who) : list_tenants(exchange);
}

Result<http::Response> admin_tenant(Exchange& exchange) {
    Result<std::string> who = operator_of(exchange);
    if (!who) {
        return std::move(who).error();
    }
    const std::string& id = exchange.route.arguments[0];
    if (exchange.request.method == "PATCH") {
        return patch_tenant(exchange, id, *who);
    }
    return exchange.request.method == "DELETE" ? remove_tenant(exchange, id, *who) : show_tenant(exchange, id);
}

Result<http::Response> admin_keys(Exchange& exchange) {
    Result<std::string> who = operator_of(exchange);
    if (!who) {
        return std::move(who).error();
    }
    const std::string& id = exchange.route.arguments[0];
    const WallTime now = exchange.services.clock.wall();
    Catalog& catalog = exchange.services.catalog;
    if (exchange.request.method == "POST") {
        Result<Json> body = exchange.request.body.empty() ? Result<Json>(Json::object()) : json_body(exchange.request);
        if (!body) {
            return std::move(body).error();
        }
        Result<KeyRequest> request = key_request(*body, id);
        if (!request) {
            return std::move(request).error();
        }
        Result<NewKey> key = catalog.create_key(*request, *who);
        if (!key) {
            return std::move(key).error();
        }
        apply_now(exchange);
        http::Response reply = json_reply(201, new_key_json(*key, now));
        reply.fields.emplace_back("Cache-Control", "no-store");
        return reply;
    }
    if (Result<TenantRecord> record = catalog.tenant(id); !record) {
        return std::move(record).error();
    }
    Result<std::vector<KeyRecord>> keys = catalog.keys(id);
    if (!keys) {
        return std::move(keys).error();
    }
    Json json{{"keys", Json::array()}};
    for (const KeyRecord& key : *keys) {
        json["keys"].push_back(key_json(key, now));
    }
    return json_reply(200, json);
}

Result<http::Response> admin_key(Exchange& exchange) {
    Result<std::string> who = operator_of(exchange);
    if (!who) {
        return std::move(who).error();
    }
    const std::string& tenant = exchange.route.arguments[0];
    const std::string& key_id = exchange.route.arguments[1];
    Catalog& catalog = exchange.services.catalog;
    Result<std::vector<KeyRecord>> keys = catalog.keys(tenant);
    if (!keys) {
        return std::move(keys).error();
    }
    const bool own = std::any_of(keys->begin(), keys->end(), [&](const KeyRecord& k) { return k.key_id == key_id; });
    if (tenant.empty() || !own) {
        return Error{Code::not_found, fmt::format("tenant {} has no key {}", quote(tenant), quote(key_id))};
    }
    Result<KeyRecord> revoked = catalog.revoke_key(key_id, *who);
    if (!revoked) {
        return std::move(revoked).error();
    }
    apply_now(exchange);
    return no_content();
}

}  // namespace mt::api
