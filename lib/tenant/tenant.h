#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "agent/agent.h"
#include "cache/answer_cache.h"
#include "cache/single_flight.h"
#include "catalog/catalog.h"
#include "config/tenant_config.h"
#include "limit/fair_gate.h"
#include "limit/limits.h"
#include "stats/ledger.h"
#include "storage/store.h"
#include "tenant/equipment.h"

namespace mt {

/// One tenant as it serves: its settings and its own limits, cache, store, agent and counters. Immutable: a change of
/// settings makes a new Tenant that takes over the parts which live on (limits, counters, store). Whoever answers a
/// call holds a shared_ptr, so that a removed tenant's parts go only after its last call. The parts are thread-safe.
struct Tenant {
    TenantRecord record;
    TenantConfig config;
    std::vector<KeyRecord> keys;  ///< of the catalog and of key_hashes
    bool open = false;            ///< needs no key: auth = "open", where the server allows it

    std::shared_ptr<TenantCounters> counters;
    std::shared_ptr<Limits> limits;            ///< its state lies in the slot of `counters`
    std::shared_ptr<std::mutex> history_turn;  ///< held by whoever reads its history for itself: one at a time
    std::shared_ptr<GateMember> gate;          ///< its place before the agent slots
    std::shared_ptr<AnswerCache> cache;
    std::shared_ptr<SingleFlight> flights;
    std::shared_ptr<Store> store;
    std::shared_ptr<Agent> agent;                ///< uses `store`
    std::shared_ptr<const Equipment> equipment;  ///< what the agent's models and tools were made from

    [[nodiscard]] bool active() const { return record.status == TenantStatus::active; }
    /// The live key whose text this is, or nullptr.
    [[nodiscard]] const KeyRecord* key(std::string_view text, WallTime now) const;
    /// Whether one of its keys, live or not, has the id that this text names.
    [[nodiscard]] bool knows_key(std::string_view text) const;
    /// Brings the gauges of cache and budget in the slot up to date.
    void update_gauges() const;
    /// The same of the storage; asks the store, which may read a file.
    void update_storage_gauge() const;
};

/// The limits that a configuration asks for.
LimitSettings limit_settings(const TenantConfig& config);

/// The share of the agent slots that a configuration asks for.
GateShare gate_share(const TenantConfig& config);

/// How a configuration sets up the agent.
AgentProfile agent_profile(const TenantConfig& config);

}  // namespace mt
