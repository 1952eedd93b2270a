#pragma once

#include <memory>
#include <string>

#include "app/backends.h"
#include "app/console.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/secret_box.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "sqlite/data_folder.h"
#include "sqlite/tenant_files.h"
#include "stats/ledger_store.h"
#include "stats/slot_file.h"
#include "tenant/data_servers.h"

namespace mt::app {

/// What a command works on: configuration and data folder, with or without a server on the same folder. Members are in
/// the order in which they need each other.
struct Workspace {
    explicit Workspace(DataFolder data_folder) : folder(std::move(data_folder)) {}

    SystemClock clock;
    Config config;
    DataFolder folder;
    bool served = false;     ///< somebody holds the folder's lock
    Log log{LogLevel::off};  ///< for parts that have one; commands return their errors
    std::unique_ptr<Backends> backends;
    Result<void> shards;  ///< whether all of them could be made
    std::unique_ptr<TenantFiles> files;
    std::unique_ptr<Catalog> catalog;
    std::unique_ptr<SlotFile> slots;  ///< read-only; null when no server has ever run here
    std::unique_ptr<LedgerStore> ledger;

    /// Tells whether settings would be valid for a tenant.
    [[nodiscard]] SettingsCheck check_for(const std::string& id) const;
    /// What seals tenants' own secrets (open_secret_box).
    [[nodiscard]] Result<SecretBox> secret_box() const;
    /// Where tenants' data lies.
    [[nodiscard]] StorePlaces places() { return {clock, *files, backends.get()}; }
};

/// Opens the folder that flags, environment and file name. `create`: make it when it is missing; with POSTGRES_URL it
/// is made, since what is asked for lies elsewhere. Errors: config, not_found, unavailable, version_mismatch.
Result<std::unique_ptr<Workspace>> open_workspace(const Console& console, bool create);

/// Creates the tenants of the file that the catalog does not know, and tells of those that differ. A removed tenant is
/// not brought back. Returns one line per tenant made, skipped or different.
Result<std::vector<std::string>> seed_tenants(Catalog& catalog, const Config& config, std::string_view who);

/// "tenant 'x' differs from FILE in a, b", or "" when it does not.
std::string drift_line(const TenantSpec& spec, const TenantRecord& present, const Config& config);

/// What would bring a tenant's own settings in line with the file.
SettingChanges drift(const Settings& present, const Settings& wanted);

}  // namespace mt::app
