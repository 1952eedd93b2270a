#include "config/tenant_config.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "config/budget.h"

namespace mt {
namespace {

constexpr std::array<std::string_view, 4> k_storage_types{"memory", "sqlite", "redis", "postgres"};
constexpr std::array<std::string_view, 2> k_auth_kinds{"key", "open"};

constexpr std::int64_t k_many = 1'000'000'000;
constexpr std::int64_t k_ten_million = 10'000'000;
constexpr std::int64_t k_year_ms = 366LL * 86400 * 1000;
constexpr std::int64_t k_most_bytes = 1'000'000'000'000'000;

Result<void> check_budget(const std::string& text) {
    const Result<Budget> parsed = parse_budget(text);
    return parsed ? Result<void>{} : Result<void>{parsed.error()};
}

Result<void> check_key_hash(const std::string& text) {
    const Result<KeyHash> parsed = parse_key_hash(text);
    return parsed ? Result<void>{} : Result<void>{parsed.error()};
}

Result<void> check_name(const std::string& text) {
    const bool control = std::any_of(text.begin(), text.end(), [](char c) { return c >= 0 && c < 0x20; });
    return control ? Result<void>{Error{Code::invalid, "a name is one line of text"}} : Result<void>{};
}

using C = TenantConfig;
using K = FieldKind;

const std::array k_fields{
    TenantField{{"name", K::text, 1, 200, {}, check_name, "display name"}, &C::name, false},
    TenantField{{"plan", K::text, 1, 48, {}, nullptr, "plan, one of [plans.NAME]"}, &C::plan, false},
    TenantField{{"rate_limit", K::integer, 1, k_many, {}, nullptr, "requests per minute"}, &C::rate_limit},
    TenantField{{"burst", K::integer, 0, k_many, {}, nullptr, "requests at once, 0: rate_limit"}, &C::burst},
    TenantField{{"storage_type", K::text, 1, 16, k_storage_types, nullptr, "where its data lies"}, &C::storage_type},
    TenantField{
        {"shard", K::text, 0, 48, {}, nullptr, "server that its data lies on, one of [shards]"}, &C::shard, false},
    TenantField{{"redis_db", K::integer, -1, 1'000'000, {}, nullptr, "its own Redis database, -1: the address's"},
                &C::redis_db,
                false},
    TenantField{{"cache_size", K::integer, 0, k_ten_million, {}, nullptr, "cached answers, 0: none"}, &C::cache_size},
    TenantField{{"cache_ttl", K::duration, 0, k_year_ms, {}, nullptr, "how long an answer is kept"}, &C::cache_ttl_ms},
    TenantField{{"max_storage", K::size, 0, k_most_bytes, {}, nullptr, "bytes of data"}, &C::max_storage},
    TenantField{{"max_concurrency", K::integer, 0, 1'000'000, {}, nullptr, "calls at once, 0: unlimited"},
                &C::max_concurrency},
    TenantField{{"reserved_concurrency", K::integer, 0, 1'000'000, {}, nullptr, "agent slots of its own"},
                &C::reserved_concurrency},
    TenantField{{"queue_limit", K::integer, 0, 1'000'000, {}, nullptr, "calls waiting for a slot"}, &C::queue_limit},
    TenantField{{"tokens_per_minute", K::integer, 0, k_many * 1000, {}, nullptr, "model tokens, 0: unlimited"},
                &C::tokens_per_minute},
    TenantField{{"budget", K::text, 0, 40, {}, check_budget, "model tokens per day or month: 1000000/day"}, &C::budget},
    TenantField{{"features", K::list, 0, 16, k_features, nullptr, "what the tenant may use"}, &C::features},
    TenantField{{"auth", K::text, 1, 8, k_auth_kinds, nullptr, "key: an API key is needed; open: loopback only"},
                &C::auth,
                false},
    TenantField{
        {"key_hashes", K::list, 0, 64, {}, check_key_hash, "keys as <key id>:<SHA-256 in hex>"}, &C::key_hashes, false},
    TenantField{{"model", K::text, 1, 64, {}, nullptr, "model that answers"}, &C::model},
    TenantField{{"models", K::list, 0, 64, {}, nullptr, "models that may be chosen (custom-models)"}, &C::models},
    TenantField{{"tools", K::list, 0, 256, {}, nullptr, "tools of the agent"}, &C::tools},
    TenantField{{"system_prompt", K::text, 0, 64LL * 1024, {}, nullptr, "instructions of the agent"},
                &C::system_prompt},
    TenantField{{"max_steps", K::integer, 1, 64, {}, nullptr, "calls of the model for one question"}, &C::max_steps},
    TenantField{{"history_tokens", K::integer, 0, k_ten_million, {}, nullptr, "of a session for the model, 0: all"},
                &C::history_tokens},
    TenantField{{"cache_completions", K::boolean, 0, 1, {}, nullptr, "cache answers of language models too"},
                &C::cache_completions},
};

void apply(TenantConfig& config, const Settings& settings) {
    for (const auto& [name, value] : settings) {
        const TenantField* field = find_tenant_field(name);
        if (field == nullptr) {
            continue;  // a field of a newer version, kept but unknown here
        }
        std::visit(
            [&, &held = value](auto member) {
                using Member = std::remove_reference_t<decltype(config.*member)>;
                if (const auto* typed = std::get_if<Member>(&held)) {
                    config.*member = *typed;
                }
            },
            field->member);
    }
}

}  // namespace

bool TenantConfig::has_feature(std::string_view feature) const {
    return std::find(features.begin(), features.end(), feature) != features.end();
}

std::string TenantConfig::tier() const {
    std::string tier = plan;
    if (!tier.empty() && tier[0] >= 'a' && tier[0] <= 'z') {
        tier[0] = static_cast<char>(tier[0] - 'a' + 'A');
    }
    return tier;
}

std::span<const TenantField> tenant_fields() {
    return k_fields;
}

const TenantField* find_tenant_field(std::string_view name) {
    const auto found =
        std::find_if(k_fields.begin(), k_fields.end(), [&](const TenantField& f) { return f.rule.name == name; });
    return found == k_fields.end() ? nullptr : &*found;
}

std::string tenant_field_suggestion(std::string_view name) {
    std::vector<std::string_view> names;
    for (const TenantField& field : k_fields) {
        names.push_back(field.rule.name);
    }
    return suggestion(name, names);
}

TenantConfig resolve(TenantConfig defaults, const Settings& plan, const Settings& own) {
    apply(defaults, plan);
    apply(defaults, own);
    return defaults;
}

Value value_of(const TenantConfig& config, const TenantField& field) {
    return std::visit([&](auto member) { return Value(config.*member); }, field.member);
}

Result<void> check_tenant(const TenantConfig& config) {
    if (config.max_concurrency > 0 && config.reserved_concurrency > config.max_concurrency) {
        return Error{Code::invalid, fmt::format("reserved_concurrency {} is larger than max_concurrency {}",
                                                config.reserved_concurrency, config.max_concurrency)};
    }
    if (config.reserved_concurrency > 0 && !config.has_feature("dedicated-resources")) {
        return Error{Code::invalid, "reserved_concurrency needs the feature dedicated-resources"};
    }
    if (!config.models.empty() && !config.has_feature("custom-models")) {
        return Error{Code::invalid, "models needs the feature custom-models"};
    }
    return {};
}

Result<KeyHash> parse_key_hash(const std::string& text) {
    constexpr std::size_t k_key_id = 12;
    const bool shaped = text.size() > k_key_id && text[k_key_id] == ':' &&
                        text.find_first_not_of("abcdefghijklmnopqrstuvwxyz234567") == k_key_id;
    Result<Sha256> hash =
        shaped ? parse_sha256(std::string_view(text).substr(k_key_id + 1)) : Result<Sha256>(Error{Code::invalid, ""});
    if (!hash) {
        return Error{Code::invalid,
                     fmt::format("{} is no key hash: write <12 characters of key id>:<SHA-256 in hex>", quote(text))};
    }
    return KeyHash{text.substr(0, k_key_id), *hash};
}

}  // namespace mt
