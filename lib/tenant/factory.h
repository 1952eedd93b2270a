#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "tenant/tenant.h"

namespace mt {

/// Builds a Tenant from what the catalog says. Where others can reach the server
/// (set_open_allowed(false), before anything is made), tenants with auth = "open" need a key all the same, which is
/// logged. References must outlive the factory and everything it
/// makes. Thread-safe.
class TenantFactory {
  public:
    TenantFactory(Ledger& ledger, TenantFiles& files, std::shared_ptr<const ToolBox> tools, const Clock& clock,
                  Log& log)
        : m_ledger(ledger), m_files(files), m_tools(std::move(tools)), m_clock(clock), m_log(log) {}

    void set_open_allowed(bool allowed) { m_open_allowed = allowed; }

    /// `previous`: the same tenant's former state, may be null; limits, counters, and the store unless its type
    /// changed, live on. Errors: what opening the tenant's parts says.
    Result<std::shared_ptr<const Tenant>> make(const TenantRecord& record, const std::vector<KeyRecord>& keys,
                                               const Config& config, const std::shared_ptr<const Tenant>& previous);

  private:
    Ledger& m_ledger;
    TenantFiles& m_files;
    std::shared_ptr<const ToolBox> m_tools;
    const Clock& m_clock;
    Log& m_log;
    std::atomic<bool> m_open_allowed{true};
};

}  // namespace mt
