#include <algorithm>
#include <array>

#include "api/exchange.h"
#include "base/text.h"

namespace mt::api {
namespace {

// Host without its port, in lower case; "[::1]" keeps its brackets.
std::string host_name(std::string_view host) {
    const std::size_t end = host.starts_with('[') ? host.find(']') + 1 : host.find(':');
    return to_lower(host.substr(0, end));
}

bool is_loopback_name(const std::string& name) {
    return name == "localhost" || name.ends_with(".localhost") || name == "[::1]" ||
           (name.starts_with("127.") && name.find_first_not_of("0123456789.") == std::string::npos);
}

// A field that a proxy adds or a web page from elsewhere carries.
bool is_foreign(const std::pair<std::string, std::string>& field) {
    constexpr std::array<std::string_view, 9> k_names{"forwarded",
                                                      "via",
                                                      "x-real-ip",
                                                      "x-client-ip",
                                                      "x-cluster-client-ip",
                                                      "true-client-ip",
                                                      "cf-connecting-ip",
                                                      "x-original-host",
                                                      "origin"};
    const std::string name = to_lower(field.first);
    if (name == "sec-fetch-site") {
        return field.second != "none" && field.second != "same-origin";
    }
    return name.starts_with("x-forwarded") || std::find(k_names.begin(), k_names.end(), name) != k_names.end();
}

// A person or program on this machine; no proxy stands between, and no web page from elsewhere asks.
bool is_local_reader(const http::Request& request) {
    return request.loopback && std::none_of(request.fields.begin(), request.fields.end(), is_foreign) &&
           is_loopback_name(host_name(request.field("Host").value_or("localhost")));
}

std::ptrdiff_t count_of(const http::Request& request, std::string_view name) {
    return std::count_if(request.fields.begin(), request.fields.end(),
                         [&](const auto& field) { return to_lower(field.first) == name; });
}

}  // namespace

std::optional<std::string> presented_key(const http::Request& request) {
    if (count_of(request, "authorization") + count_of(request, "x-api-key") > 1) {
        return std::string{};  // which one is meant? neither
    }
    if (const auto authorization = request.field("Authorization")) {
        constexpr std::string_view k_scheme = "bearer ";
        if (to_lower(authorization->substr(0, k_scheme.size())) == k_scheme) {
            return std::string(trim(authorization->substr(k_scheme.size())));
        }
        return std::string{};  // another scheme: a wrong key
    }
    const auto key = request.field("X-API-Key");
    return key ? std::optional(std::string(*key)) : std::nullopt;
}

Result<std::string> authorize_operator(const Exchange& exchange, OperatorRight right) {
    const std::optional<std::string> key = presented_key(exchange.request);
    const Services& services = exchange.services;
    if (key && !services.operator_token.empty() && equal_in_constant_time(*key, services.operator_token)) {
        return std::string("operator token");
    }
    const std::optional<KeyRecord> found =
        key ? services.tenants.operator_key(*key, services.clock.wall()) : std::nullopt;
    if (!found) {
        return Error{Code::unauthorized, "an operator's key is needed: Authorization: Bearer KEY"};
    }
    if (found->read_only && right == OperatorRight::change) {
        return Error{Code::forbidden, "this operator's key may look, not change"};
    }
    return found->name.empty() ? "operator key " + found->key_id : found->name;
}

Result<void> authorize_reader(const Exchange& exchange) {
    if (exchange.services.loopback && is_local_reader(exchange.request) && !presented_key(exchange.request)) {
        return {};
    }
    Result<std::string> who = authorize_operator(exchange, OperatorRight::look);
    return who ? Result<void>{} : Result<void>{std::move(who).error()};
}

}  // namespace mt::api
