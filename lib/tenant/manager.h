#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "tenant/departures.h"
#include "tenant/factory.h"
#include "tenant/tenant.h"

namespace mt {

/// All tenants that this process serves: found by id, loaded at their first call, replaced when the catalog changes (by
/// whatever process), let go and erased when they are removed. Thread-safe.
class TenantManager {
  public:
    /// References must outlive the manager.
    TenantManager(Catalog& catalog, TenantFactory& factory, Ledger& ledger, std::shared_ptr<const Config> config,
                  Log& log);
    TenantManager(const TenantManager&) = delete;
    TenantManager& operator=(const TenantManager&) = delete;
    ~TenantManager();

    /// What else must be erased with a tenant, before its name is given back. Before start().
    void set_erase_data(EraseData erase_data);

    /// Errors: not_found (unknown, being removed, removed), and what loading says.
    Result<std::shared_ptr<const Tenant>> find(std::string_view id);

    /// The tenant that a key's text names by its key id, whether or not the key opens it. No file is read once the
    /// tenant is loaded. Errors: not_found (no such key, and as above), and what loading says.
    Result<std::shared_ptr<const Tenant>> find_by_key(std::string_view text);

    /// The live operator key whose text this is, if any.
    [[nodiscard]] std::optional<KeyRecord> operator_key(std::string_view text, WallTime now) const;

    /// Applies what changed in the catalog since the last time, and erases removed tenants (Departures). While a shared
    /// catalog is away, loaded tenants are served as they are. Errors: what the catalog says; the next call tries
    /// again.
    Result<void> refresh();

    /// Takes new plans and models; loaded tenants follow at once.
    Result<void> reconfigure(std::shared_ptr<const Config> config);
    [[nodiscard]] std::shared_ptr<const Config> config() const;

    /// Starts the thread that refreshes when the catalog may have changed; faults are logged when they start and end.
    Result<void> start();
    /// Ends it; a refresh in progress ends first.
    void stop();

    /// Tenants in memory, in no order.
    [[nodiscard]] std::vector<std::shared_ptr<const Tenant>> loaded() const;
    /// True while a shared catalog is away: others may have changed what is not known here.
    [[nodiscard]] bool misses_changes() const;
    /// The present fault of refreshing, or nothing: for readiness.
    [[nodiscard]] std::optional<Error> fault() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt
