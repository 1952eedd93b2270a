#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "tenant/data_servers.h"
#include "tenant/equipment.h"
#include "tenant/tenant.h"

namespace mt {

/// Makes the limits of one tenant, whose memory lies in its slot.
using LimitsMaker = std::function<std::unique_ptr<Limits>(const TenantRecord& record, const LimitSettings& settings,
                                                          LimiterState state)>;

/// What tenants are made of, and share.
struct TenantParts {
    Ledger& ledger;
    TenantFiles& files;
    FairGate& gate;
    const Clock& clock;
    Log& log;
    int most_followers = 256;        ///< calls of a tenant that may wait for an identical one
    DataServers* servers = nullptr;  ///< null: data lies on this machine alone
    LimitsMaker make_limits{};       ///< empty: limits are kept in this process
};

/// Builds a Tenant from what the catalog says. Where others can reach the server
/// (set_open_allowed(false), before anything is made), tenants with auth = "open" need a key all the same, which is
/// logged. References must outlive the factory and everything it
/// makes. Thread-safe.
class TenantFactory {
  public:
    TenantFactory(const TenantParts& parts, std::shared_ptr<const Equipment> equipment)
        : m_ledger(parts.ledger),
          m_files(parts.files),
          m_gate(parts.gate),
          m_clock(parts.clock),
          m_most_followers(parts.most_followers),
          m_servers(parts.servers),
          m_make_limits(parts.make_limits),
          m_log(parts.log),
          m_equipment(std::move(equipment)) {}

    void set_open_allowed(bool allowed) { m_open_allowed = allowed; }

    /// Tenants made from now on work with these models and tools.
    void equip(std::shared_ptr<const Equipment> equipment);
    [[nodiscard]] std::shared_ptr<const Equipment> equipment() const;

    /// The time that everything made here goes by.
    [[nodiscard]] const Clock& clock() const { return m_clock; }

    /// `previous`: the same tenant's former state, may be null; limits, counters, and the store unless its type
    /// changed, live on. Errors: what opening the tenant's parts says.
    Result<std::shared_ptr<const Tenant>> make(const TenantRecord& record, const std::vector<KeyRecord>& keys,
                                               const Config& config, const std::shared_ptr<const Tenant>& previous);

  private:
    void warn_of_settings(const Tenant& tenant, const Config& config) const;
    Result<void> open_limits(Tenant& tenant, const Tenant* old);
    Result<void> open_data(Tenant& tenant, const Tenant* old);
    void give_agent(Tenant& tenant, const Tenant* old);

    Ledger& m_ledger;
    TenantFiles& m_files;
    FairGate& m_gate;
    const Clock& m_clock;
    const int m_most_followers;
    DataServers* m_servers;
    const LimitsMaker m_make_limits;
    Log& m_log;
    std::atomic<bool> m_open_allowed{true};
    mutable std::mutex m_mutex{};
    std::shared_ptr<const Equipment> m_equipment;  ///< guarded by m_mutex
};

}  // namespace mt
