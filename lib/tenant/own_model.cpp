#include "tenant/own_model.h"

#include <arpa/inet.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/networks.h"
#include "base/text.h"
#include "config/secrets.h"
#include "config/url_rules.h"
#include "http/client.h"

namespace mt {
namespace {

// None of the parts can hold a line end.
std::string place_of(const TenantRecord& tenant, std::string_view name, std::string_view base_url) {
    return fmt::format("tenant model\n{}\n{}\n{}", tenant.uid, name, base_url);
}

// The address that a host is, whatever its spelling: the resolver takes "127.1" and "0x7f000001" for 127.0.0.1.
std::optional<std::string> literal_address(const std::string& host) {
    if (parse_ip(host)) {
        return host;
    }
    in_addr address{};
    std::array<char, INET_ADDRSTRLEN> text{};
    if (inet_aton(host.c_str(), &address) != 0 &&
        inet_ntop(AF_INET, &address, text.data(), static_cast<socklen_t>(text.size())) != nullptr) {
        return std::string(text.data());
    }
    std::string name = to_lower(host);
    name.erase(name.find_last_not_of('.') + 1);
    const bool here = name == "localhost" || name.ends_with(".localhost");  // RFC 6761 section 6.3
    return here ? std::optional<std::string>("127.0.0.1") : std::nullopt;
}

Error invalid(const char* param, const std::string& message) {
    Error error{Code::invalid, fmt::format("{}: {}", param, message)};
    error.param = param;
    return error;
}

Result<void> check_name(const std::string& name, const Config& config) {
    if (Result<void> valid = check_model_name(name); !valid) {
        return invalid("name", valid.error().message);
    }
    if (config.models.contains(name)) {
        return invalid("name", fmt::format("{} is a model of everybody: give this one another name", quote(name)));
    }
    return {};
}

Result<void> check_address(const std::string& base_url, const Config& config) {
    constexpr std::size_t k_longest = 2048;
    if (base_url.size() > k_longest) {
        return invalid("base_url", fmt::format("the address is longer than {} bytes", k_longest));
    }
    if (Result<void> valid = check_http_base_url(base_url); !valid) {
        return invalid("base_url", valid.error().message);
    }
    const Result<http::Url> url = http::parse_url(base_url);
    if (!url) {
        return invalid("base_url", "this is no address of a server");
    }
    const std::optional<std::string> address = literal_address(url->host);
    if (address && !own_address_rule(config).allows(*address)) {
        return Error{Code::forbidden,
                     fmt::format("base_url: {} is no public address; the operator can allow it with "
                                 "private_upstreams in [server]",
                                 *address),
                     "address"};
    }
    return {};
}

Result<void> check_upstream_name(const std::string& model) {
    constexpr std::size_t k_longest = 256;
    const bool control =
        std::any_of(model.begin(), model.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; });
    if (model.empty() || model.size() > k_longest || control || !is_utf8(model)) {
        return invalid("model", fmt::format("expected one line of 1 to {} bytes: its name at the upstream", k_longest));
    }
    return {};
}

}  // namespace

http::AddressRule own_address_rule(const Config& config) {
    http::AddressRule rule;
    rule.public_only = true;
    if (Result<Networks> networks = Networks::parse(config.server.private_upstreams)) {  // checked with the file
        rule.exceptions = *std::move(networks);
    }
    return rule;
}

Result<void> check_own_model(const TenantRecord& tenant, const OwnModel& wanted, const Config& config) {
    if (!config.resolve(tenant.id, tenant.own).has_feature("custom-models")) {
        return Error{Code::feature_required, "models of one's own need the feature custom-models", "custom-models"};
    }
    Result<void> checked = check_name(wanted.name, config);
    if (checked) {
        checked = check_address(wanted.base_url, config);
    }
    if (checked) {
        checked = check_upstream_name(wanted.model);
    }
    if (checked && !wanted.api_key.empty()) {
        const Result<std::string> key = parse_api_key(wanted.api_key);
        if (!key || *key != wanted.api_key) {
            checked = invalid("api_key", key ? "blanks stand around the key" : key.error().message);
        }
    }
    return checked;
}

Result<TenantModel> add_own_model(const OwnModelParts& parts, std::string_view tenant, const OwnModel& wanted,
                                  bool replace, std::string_view who) {
    Result<TenantRecord> record = parts.catalog.tenant(tenant);
    if (!record) {
        return std::move(record).error();
    }
    if (record->status == TenantStatus::removing) {
        return Error{Code::not_found, fmt::format("tenant {} is being removed", quote(tenant))};
    }
    if (Result<void> checked = check_own_model(*record, wanted, parts.config); !checked) {
        return std::move(checked).error();
    }
    TenantModel model{wanted.name, without_last_slashes(wanted.base_url), wanted.model, {}, parts.now};
    if (!wanted.api_key.empty()) {
        const Result<SecretBox> box = parts.secret_box();
        if (!box) {
            return box.error();
        }
        model = seal_own_model(*record, wanted, *box, parts.now);
    }
    Result<TenantRecord> kept = parts.catalog.put_model(tenant, model, replace, who);
    return kept ? Result<TenantModel>(std::move(model)) : Result<TenantModel>(std::move(kept).error());
}

TenantModel seal_own_model(const TenantRecord& tenant, const OwnModel& wanted, const SecretBox& box, WallTime now) {
    TenantModel model{wanted.name, without_last_slashes(wanted.base_url), wanted.model, {}, now};
    if (!wanted.api_key.empty()) {
        model.sealed_key = box.seal(wanted.api_key, place_of(tenant, model.name, model.base_url));
    }
    return model;
}

Result<std::string> open_own_key(const TenantRecord& tenant, const TenantModel& model, const SecretBox& box) {
    if (model.sealed_key.empty()) {
        return std::string{};
    }
    Result<std::string> key = box.open(model.sealed_key, place_of(tenant, model.name, model.base_url));
    return key ? key
               : Error{key.error().code, fmt::format("the key of model {} of tenant {}: {}", quote(model.name),
                                                     quote(tenant.id), key.error().message)};
}

std::vector<std::string> own_model_names(const TenantRecord& tenant) {
    std::vector<std::string> names;
    for (const TenantModel& model : tenant.models) {
        names.push_back(model.name);
    }
    return names;
}

}  // namespace mt
