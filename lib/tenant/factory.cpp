#include "tenant/factory.h"

#include <fmt/core.h>

#include <chrono>
#include <utility>

#include "tenant/own_model.h"

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

void TenantFactory::equip(std::shared_ptr<const Equipment> equipment) {
    const std::lock_guard lock(m_mutex);
    m_equipment = std::move(equipment);
}

std::shared_ptr<const Equipment> TenantFactory::equipment() const {
    const std::lock_guard lock(m_mutex);
    return m_equipment;
}

Result<std::shared_ptr<const Tenant>> TenantFactory::make(const TenantRecord& record,
                                                          const std::vector<KeyRecord>& keys, const Config& config,
                                                          const std::shared_ptr<const Tenant>& previous) {
    const Tenant* old = previous && previous->record.uid == record.uid ? previous.get() : nullptr;
    auto tenant = std::make_shared<Tenant>();
    tenant->record = record;
    tenant->config = config.resolve(record.id, record.own);
    tenant->keys = keys;
    tenant->equipment = equipment();
    add_key_hashes(*tenant);
    warn_of_settings(*tenant, config);
    tenant->open = tenant->config.auth == "open" && m_open_allowed;
    if (Result<void> opened = open_limits(*tenant, old); !opened) {
        return std::move(opened).error();
    }
    if (Result<void> opened = open_data(*tenant, old); !opened) {
        return std::move(opened).error();
    }
    give_agent(*tenant, old);
    tenant->update_gauges();
    tenant->update_storage_gauge();
    return std::shared_ptr<const Tenant>(std::move(tenant));
}

// A tenant is served all the same.
void TenantFactory::warn_of_settings(const Tenant& tenant, const Config& config) const {
    const TenantRecord& record = tenant.record;
    if (Result<void> valid = config.check(record.id, record.own, own_model_names(record));
        !valid) {  // the file changed
        m_log.warning(
            fmt::format("tenant '{}' is served as far as its settings hold: {}", record.id, valid.error().message));
    }
    if (tenant.config.auth == "open" && !m_open_allowed) {
        m_log.warning(
            fmt::format("tenant '{}' has auth = open, but others can reach this server: it needs a key", record.id));
    }
}

Result<void> TenantFactory::open_limits(Tenant& tenant, const Tenant* old) {
    if (old != nullptr) {
        tenant.counters = old->counters;
        tenant.history_turn = old->history_turn;
        tenant.limits = old->limits;
        tenant.limits->reconfigure(limit_settings(tenant.config));
        tenant.gate = old->gate;
        tenant.gate->reconfigure(gate_share(tenant.config));
        return {};
    }
    Result<std::shared_ptr<TenantCounters>> counters = m_ledger.open(tenant.record.id, tenant.record.uid);
    if (!counters) {
        return std::move(counters).error();
    }
    tenant.counters = *std::move(counters);
    tenant.history_turn = std::make_shared<std::mutex>();
    Slot& slot = tenant.counters->slot();
    const LimitSettings settings = limit_settings(tenant.config);
    const LimiterState state{slot.request_tat_ns, slot.token_tat_ns, slot.budget_used, slot.budget_period_start};
    tenant.limits =
        m_make_limits ? m_make_limits(tenant.record, settings, state) : make_local_limits(settings, state, m_clock);
    tenant.gate = m_gate.join(gate_share(tenant.config));
    return {};
}

Result<void> TenantFactory::open_data(Tenant& tenant, const Tenant* old) {
    if (old != nullptr && is_same_place(old->config, tenant.config)) {
        tenant.store = old->store;
        tenant.store->set_max_bytes(tenant.config.max_storage);
        return {};
    }
    Result<std::unique_ptr<Store>> store =
        open_tenant_store(tenant.record, tenant.config, {m_clock, m_files, m_servers});
    if (!store) {
        return std::move(store).error();
    }
    tenant.store = *std::move(store);
    return {};
}

// Whoever still answers as before keeps agent and answers.
void TenantFactory::give_agent(Tenant& tenant, const Tenant* old) {
    if (old != nullptr && old->config == tenant.config && old->record.models == tenant.record.models &&
        old->equipment == tenant.equipment) {
        tenant.cache = old->cache;
        tenant.flights = old->flights;
        tenant.agent = old->agent;
        return;
    }
    tenant.cache = std::make_shared<AnswerCache>(cache_settings(tenant.config), m_clock);
    tenant.flights = std::make_shared<SingleFlight>(m_clock, m_most_followers);
    const AgentProfile profile = agent_profile(tenant.config);
    tenant.agent = std::make_shared<Agent>(profile, tenant.equipment->models_of(tenant.record, tenant.config, profile),
                                           tenant.equipment->tools(), *tenant.store, m_clock);
}

}  // namespace mt
