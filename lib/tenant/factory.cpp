#include "tenant/factory.h"

#include <fmt/core.h>

#include <chrono>
#include <utility>

namespace mt {
namespace {

CacheSettings cache_settings(const TenantConfig& config) {
    CacheSettings settings;
    settings.max_entries = config.cache_size;
    settings.ttl = std::chrono::milliseconds{config.cache_ttl_ms};
    return settings;
}

// Keys that stand in the configuration itself.
void add_key_hashes(Tenant& tenant) {
    for (const std::string& text : tenant.config.key_hashes) {
        if (Result<KeyHash> parsed = parse_key_hash(text)) {
            KeyRecord key;
            key.key_id = parsed->key_id;
            key.tenant = tenant.record.id;
            key.name = "key_hashes";
            key.hash = parsed->hash;
            tenant.keys.push_back(std::move(key));
        }
    }
}

}  // namespace

Result<std::shared_ptr<const Tenant>> TenantFactory::make(const TenantRecord& record,
                                                          const std::vector<KeyRecord>& keys, const Config& config,
                                                          const std::shared_ptr<const Tenant>& previous) {
    const Tenant* old = previous && previous->record.uid == record.uid ? previous.get() : nullptr;
    auto tenant = std::make_shared<Tenant>();
    tenant->record = record;
    tenant->config = config.resolve(record.id, record.own);
    tenant->keys = keys;
    add_key_hashes(*tenant);
    if (Result<void> valid = config.check(record.id, record.own); !valid) {  // the file changed under it
        m_log.warning(
            fmt::format("tenant '{}' is served as far as its settings hold: {}", record.id, valid.error().message));
    }
    tenant->open = tenant->config.auth == "open" && m_open_allowed;
    if (tenant->config.auth == "open" && !tenant->open) {
        m_log.warning(
            fmt::format("tenant '{}' has auth = open, but others can reach this server: it needs a key", record.id));
    }

    if (old != nullptr) {
        tenant->counters = old->counters;
        tenant->limits = old->limits;
        tenant->limits->reconfigure(limit_settings(tenant->config));
    } else {
        Result<std::shared_ptr<TenantCounters>> counters = m_ledger.open(record.id, record.uid);
        if (!counters) {
            return std::move(counters).error();
        }
        tenant->counters = *std::move(counters);
        Slot& slot = tenant->counters->slot();
        tenant->limits = make_local_limits(
            limit_settings(tenant->config),
            LimiterState{slot.request_tat_ns, slot.token_tat_ns, slot.budget_used, slot.budget_period_start}, m_clock);
    }
    if (old != nullptr && old->config.storage_type == tenant->config.storage_type) {
        tenant->store = old->store;
        tenant->store->set_max_bytes(tenant->config.max_storage);
    } else {
        Result<std::unique_ptr<Store>> store =
            open_store(tenant->config.storage_type, {record.id, tenant->config.max_storage, m_clock, m_files});
        if (!store) {
            return std::move(store).error();
        }
        tenant->store = *std::move(store);
    }
    if (old != nullptr && old->config == tenant->config) {
        tenant->cache = old->cache;
        tenant->flights = old->flights;
    } else {
        tenant->cache = std::make_shared<AnswerCache>(cache_settings(tenant->config), m_clock);
        tenant->flights = std::make_shared<SingleFlight>(m_clock);
    }
    const AgentProfile profile = agent_profile(tenant->config);
    tenant->agent = std::make_shared<Agent>(profile, std::vector<NamedModel>{{"builtin", make_builtin_model(profile)}},
                                            m_tools, *tenant->store, m_clock);
    tenant->update_gauges();
    return std::shared_ptr<const Tenant>(std::move(tenant));
}

}  // namespace mt
