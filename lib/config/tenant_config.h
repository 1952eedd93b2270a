#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "config/fields.h"

namespace mt {

/// Everything that is set for one tenant, complete: its own settings over its plan's over the defaults below.
struct TenantConfig {
    std::string name;  ///< display name; default: the id
    std::string plan = "basic";
    std::int64_t rate_limit = 10;  ///< requests per minute
    std::int64_t burst = 0;        ///< requests at once, 0: as many as rate_limit
    std::string storage_type = "memory";
    std::string shard;              ///< one of [shards]; empty: the server of REDIS_URL or POSTGRES_URL
    std::int64_t redis_db = -1;     ///< number of its own Redis database; -1: the address's
    std::int64_t cache_size = 100;  ///< entries
    std::int64_t cache_ttl_ms = 300'000;
    std::int64_t max_storage = 1'000'000'000;  ///< bytes
    std::int64_t max_concurrency = 0;          ///< calls at once, 0: unlimited
    std::int64_t reserved_concurrency = 0;     ///< agent slots of its own
    std::int64_t queue_limit = 32;             ///< calls waiting for a slot
    std::int64_t tokens_per_minute = 0;        ///< 0: unlimited
    std::string budget;                        ///< "1000000/day", "1000000/month" or "": none
    std::vector<std::string> features{"basic-chat"};
    std::string auth = "key";             ///< key | open
    std::vector<std::string> key_hashes;  ///< "<key id>:<SHA-256 of the key in hex>"
    std::string model = "builtin";
    std::vector<std::string> models;
    std::vector<std::string> tools;  ///< default: all
    std::string system_prompt;
    std::int64_t max_steps = 8;          ///< calls of the model for one question
    std::int64_t history_tokens = 8000;  ///< of a session that the model is shown, 0: all
    bool cache_completions = false;

    [[nodiscard]] std::int64_t effective_burst() const { return burst > 0 ? burst : rate_limit; }
    [[nodiscard]] bool has_feature(std::string_view feature) const;
    /// The plan's name with a capital: "Basic".
    [[nodiscard]] std::string tier() const;

    friend bool operator==(const TenantConfig&, const TenantConfig&) = default;
};

/// A rule and the member it sets.
struct TenantField {
    FieldRule rule;
    std::variant<std::int64_t TenantConfig::*, bool TenantConfig::*, std::string TenantConfig::*,
                 std::vector<std::string> TenantConfig::*>
        member;
    bool in_plan = true;  ///< a plan may set it
};

/// The ONE table of a tenant's settings, in the order in which they are shown.
std::span<const TenantField> tenant_fields();

/// nullptr when there is no such field.
const TenantField* find_tenant_field(std::string_view name);

/// " (did you mean 'rate_limit'?)" or "".
std::string tenant_field_suggestion(std::string_view name);

/// The defaults, over them the plan's settings, over them the tenant's own. The settings are valid (check_value).
TenantConfig resolve(TenantConfig defaults, const Settings& plan, const Settings& own);

/// The present value of a field, for showing.
Value value_of(const TenantConfig& config, const TenantField& field);

/// Rules between fields. Errors: invalid.
Result<void> check_tenant(const TenantConfig& config);

/// One entry of key_hashes taken apart.
struct KeyHash {
    std::string key_id;
    Sha256 hash{};
};
Result<KeyHash> parse_key_hash(const std::string& text);

inline constexpr std::array<std::string_view, 5> k_features{"basic-chat", "advanced-analytics", "priority-support",
                                                            "custom-models", "dedicated-resources"};

/// The tools that every agent has without any configuration.
inline constexpr std::array<std::string_view, 5> k_builtin_tools{"calculator", "current_time", "remember", "recall",
                                                                 "analyze"};

}  // namespace mt
