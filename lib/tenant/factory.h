#pragma once

#include <memory>
#include <vector>

#include "base/clock.h"
#include "config/config.h"
#include "tenant/tenant.h"

namespace mt {

/// Builds a Tenant from what the catalog says. References must outlive the factory and everything it makes.
/// Thread-safe.
class TenantFactory {
  public:
    TenantFactory(Ledger& ledger, TenantFiles& files, const ToolBox& tools, const Clock& clock)
        : m_ledger(ledger), m_files(files), m_tools(tools), m_clock(clock) {}

    /// `previous`: the same tenant's former state, may be null; limits, counters, and the store unless its type changed,
    /// live on. Errors: what opening the tenant's parts says.
    Result<std::shared_ptr<const Tenant>> make(const TenantRecord& record, const std::vector<KeyRecord>& keys,
                                               const Config& config, const std::shared_ptr<const Tenant>& previous);

  private:
    Ledger& m_ledger;
    TenantFiles& m_files;
    const ToolBox& m_tools;
    const Clock& m_clock;
};

}  // namespace mt
