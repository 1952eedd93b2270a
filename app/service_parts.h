#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "api/api.h"
#include "app/backends.h"
#include "app/limits.h"
#include "app/service.h"
#include "base/clock.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "http/server.h"
#include "limit/fair_gate.h"
#include "limit/redis_limits.h"
#include "sqlite/data_folder.h"
#include "sqlite/tenant_files.h"
#include "stats/ledger.h"
#include "stats/ledger_store.h"
#include "stats/slot_file.h"
#include "tenant/factory.h"
#include "tenant/manager.h"
#include "tenant/stats_reader.h"
#include "trace/exporter.h"

namespace mt::app {

/// What the parts of a service stand on. Everything outlives them.
struct Ground {
    const Clock& clock;
    Log& log;
    DataFolder& folder;
    TenantFiles& files;
    Backends& backends;
    std::function<std::int64_t()> connections;  ///< open now
};

/// Everything between the transport and what lies on disk or on other servers, wired: from the catalog to the
/// endpoints. It is there as a whole or not at all, so that a server which starts while PostgreSQL is away can try
/// again. Members are in the order in which they need each other.
class ServiceParts {
  public:
    /// Opens catalog, counters and models, and creates missing tenants of the file. Errors: unavailable, config,
    /// version_mismatch, storage_full.
    static Result<std::unique_ptr<ServiceParts>> open(const Ground& ground, const Config& config);
    ServiceParts(const ServiceParts&) = delete;
    ServiceParts& operator=(const ServiceParts&) = delete;
    ~ServiceParts() = default;

    /// Loads the changes of tenants and starts the threads. Errors: config (an open tenant on an address that others
    /// can reach), unavailable.
    Result<void> start(const http::Address& address, bool allow_open);
    /// Writes the last numbers and ends the threads.
    Result<void> stop();

    /// Takes plans, models, tools and log settings. Errors: config (the old ones then stay in use).
    Result<void> reconfigure(const Config& config);

    [[nodiscard]] api::Api& api() { return *m_api; }
    void drain() { m_services->draining = true; }

  private:
    explicit ServiceParts(const Ground& ground) : m_ground(ground) {}
    Result<void> open_parts(const Config& config);
    void wire(const Config& config);
    void wire_services(const Config& config);
    [[nodiscard]] EquipmentParts equipment_parts() const;

    Ground m_ground;
    std::unique_ptr<TraceExporter> m_traces{};
    std::unique_ptr<Catalog> m_catalog{};
    std::unique_ptr<SlotFile> m_slots{};
    std::unique_ptr<LedgerStore> m_store{};
    std::shared_ptr<const Equipment> m_equipment{};  // as at the start; the factory has the present one
    std::optional<Ledger> m_ledger{};
    std::optional<FairGate> m_gate{};
    std::unique_ptr<SharedLimiter> m_limiter{};  // null: limits are kept in this process
    std::optional<TenantFactory> m_factory{};
    std::optional<TenantManager> m_tenants{};
    std::optional<StatsReader> m_stats{};
    std::unique_ptr<PipelineServices> m_pipeline{};
    std::unique_ptr<api::Services> m_services{};
    std::optional<api::Api> m_api{};
};

}  // namespace mt::app
