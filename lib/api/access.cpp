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

// A person or program on this machine; no proxy stands between, and no web page from elsewhere asks.
bool is_local_reader(const http::Request& request) {
    constexpr std::array<std::string_view, 8> k_forwarding{"Forwarded",        "Via",       "X-Forwarded-For",
                                                           "X-Forwarded-Host", "X-Real-IP", "X-Forwarded-Proto",
                                                           "X-Forwarded-Port", "Origin"};
    const bool direct = std::none_of(k_forwarding.begin(), k_forwarding.end(),
                                     [&](std::string_view name) { return request.field(name).has_value(); });
    const std::string_view site = request.field("Sec-Fetch-Site").value_or("none");
    return request.loopback && direct && (site == "none" || site == "same-origin") &&
           is_loopback_name(host_name(request.field("Host").value_or("localhost")));
}

}  // namespace

std::optional<std::string> presented_key(const http::Request& request) {
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
