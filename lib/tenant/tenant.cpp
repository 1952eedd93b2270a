#include "tenant/tenant.h"

#include <algorithm>

#include "config/budget.h"

namespace mt {

const KeyRecord* Tenant::key(std::string_view text, WallTime now) const {
    const std::optional<std::string_view> id = key_id_of(text);
    if (!id) {
        return nullptr;
    }
    const auto found = std::find_if(keys.begin(), keys.end(), [&](const KeyRecord& k) { return k.key_id == *id; });
    return found != keys.end() && matches(*found, text) && found->is_live(now) ? &*found : nullptr;
}

bool Tenant::knows_key(std::string_view text) const {
    const std::optional<std::string_view> id = key_id_of(text);
    return id && std::any_of(keys.begin(), keys.end(), [&](const KeyRecord& k) { return k.key_id == *id; });
}

void Tenant::update_gauges() const {
    Slot& slot = counters->slot();
    slot.cache_entries.store(cache->entries(), std::memory_order_relaxed);
    slot.budget_tokens.store(limits->status().budget, std::memory_order_relaxed);  // asking renews budget_used
}

void Tenant::update_storage_gauge() const {
    if (Result<std::int64_t> bytes = store->bytes_used()) {
        counters->slot().storage_bytes.store(*bytes, std::memory_order_relaxed);
    }
}

LimitSettings limit_settings(const TenantConfig& config) {
    LimitSettings settings;
    settings.rate_limit = config.rate_limit;
    settings.burst = config.effective_burst();
    settings.tokens_per_minute = config.tokens_per_minute;
    settings.max_concurrency = config.max_concurrency;
    if (const Result<Budget> budget = parse_budget(config.budget)) {  // always: the settings are checked
        settings.budget = budget->tokens;
        settings.budget_period = budget->period;
    }
    return settings;
}

GateShare gate_share(const TenantConfig& config) {
    constexpr std::int64_t k_priority = 4;
    GateShare share;
    share.weight = config.has_feature("priority-support") ? k_priority : 1;
    share.reserved = config.has_feature("dedicated-resources") ? config.reserved_concurrency : 0;
    share.queue_limit = config.queue_limit;
    return share;
}

AgentProfile agent_profile(const TenantConfig& config) {
    AgentProfile profile;
    profile.name = config.name;
    profile.tier = config.tier();
    profile.features = config.features;
    profile.tools = config.tools;
    profile.system_prompt = config.system_prompt;
    profile.max_steps = static_cast<int>(config.max_steps);
    profile.history_tokens = config.history_tokens;
    return profile;
}

}  // namespace mt
