// The language models of tenants' own; always with an operator's key. A reply never holds a model's key.

#include <fmt/core.h>

#include <array>
#include <utility>

#include "api/exchange.h"
#include "api/json_views.h"
#include "base/text.h"
#include "tenant/own_model.h"

namespace mt::api {
namespace {

Error invalid(const std::string& field, const std::string& message) {
    Error error{Code::invalid, message};
    error.param = field;
    return error;
}

Result<OwnModel> read_model(const Json& body) {
    OwnModel model;
    const std::array<std::pair<std::string_view, std::string*>, 4> fields{
        {{"name", &model.name}, {"base_url", &model.base_url}, {"model", &model.model}, {"api_key", &model.api_key}}};
    for (const auto& [name, value] : body.items()) {
        const auto* field =
            std::find_if(fields.begin(), fields.end(), [&wanted = name](const auto& f) { return f.first == wanted; });
        if (field == fields.end()) {
            constexpr std::array<std::string_view, 4> k_names{"name", "base_url", "model", "api_key"};
            return invalid(name, fmt::format("unknown field {}{}", quote(name), suggestion(name, k_names)));
        }
        if (!value.is_string()) {
            return invalid(name, fmt::format("{}: wrong type, expected a text", name));
        }
        *field->second = value.get<std::string>();
    }
    for (const char* needed : {"name", "base_url", "model"}) {
        if (!body.contains(needed)) {
            return invalid(needed, fmt::format("the field '{}' is needed: a text", needed));
        }
    }
    if (body.contains("api_key") && model.api_key.empty()) {
        return invalid("api_key", "api_key: the key is empty; leave the field out for a model without one");
    }
    return model;
}

Result<http::Response> add_model(const Exchange& exchange, const std::string& tenant, const std::string& who) {
    Result<Json> body = json_body(exchange.request);
    if (!body) {
        return std::move(body).error();
    }
    Result<OwnModel> wanted = read_model(*body);
    if (!wanted) {
        return std::move(wanted).error();
    }
    const Services& services = exchange.services;
    const std::shared_ptr<const Config> config = services.tenants.config();
    const OwnModelParts parts{services.catalog, *config, services.secret_box, services.clock.wall()};
    Result<TenantModel> model = add_own_model(parts, tenant, *wanted, false, who);
    if (!model) {
        return std::move(model).error();
    }
    apply_now(exchange);
    http::Response reply = json_reply(201, own_model_json(*model));
    reply.fields.emplace_back("Location", fmt::format("/admin/tenants/{}/models/{}", tenant, model->name));
    return reply;
}

}  // namespace

Result<http::Response> admin_models(Exchange& exchange) {
    Result<std::string> who = operator_of(exchange);
    if (!who) {
        return std::move(who).error();
    }
    const std::string& tenant = exchange.route.arguments[0];
    if (exchange.request.method == "POST") {
        return add_model(exchange, tenant, *who);
    }
    Result<TenantRecord> record = exchange.services.catalog.tenant(tenant);
    if (!record) {
        return std::move(record).error();
    }
    Json json{{"models", Json::array()}};
    for (const TenantModel& model : record->models) {
        json["models"].push_back(own_model_json(model));
    }
    return json_reply(200, json);
}

Result<http::Response> admin_model(Exchange& exchange) {
    Result<std::string> who = operator_of(exchange);
    if (!who) {
        return std::move(who).error();
    }
    const std::vector<std::string>& names = exchange.route.arguments;
    Result<TenantRecord> removed = exchange.services.catalog.remove_model(names[0], names[1], *who);
    if (!removed) {
        return std::move(removed).error();
    }
    apply_now(exchange);
    return no_content();
}

}  // namespace mt::api
