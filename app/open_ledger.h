#pragma once

#include <memory>

#include "app/backends.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/secret_box.h"
#include "catalog/catalog.h"
#include "sqlite/data_folder.h"
#include "sqlite/tenant_files.h"
#include "stats/ledger_store.h"
#include "stats/slot_file.h"

namespace mt::app {

// What lies in PostgreSQL where POSTGRES_URL is set, and in the data folder elsewhere: decided here alone.

/// Tenants and keys. Errors: as the one that is opened.
Result<std::unique_ptr<Catalog>> open_catalog(Backends& backends, const DataFolder& folder, TenantFiles& files,
                                              const Clock& clock, const CatalogOptions& options);

/// What the ledger is opened with.
struct LedgerPlaces {
    Backends& backends;
    const DataFolder& folder;
    TenantFiles& files;
    Catalog& catalog;
};

/// Live counters and where they are written.
struct OpenLedger {
    std::unique_ptr<SlotFile> slots;
    std::unique_ptr<LedgerStore> store;
};

/// For the one who counts: opens the slot file and finds its place among those that have ever counted. One whose
/// numbers others have taken over is set aside, and logged. Errors: version_mismatch, storage_full, unavailable.
Result<OpenLedger> open_ledger(const LedgerPlaces& places, const Clock& clock, Log& log);

/// For those who read. `writer`: of the slot file that they have, or empty.
std::unique_ptr<LedgerStore> read_ledger(Backends& backends, TenantFiles& files, const std::string& writer,
                                         const Clock& clock);

/// What seals tenants' own secrets: MTAGENT_SECRET_KEY_FILE, else the folder's own. Errors: config (replicas that share
/// a catalog need the same one, named), unavailable.
Result<SecretBox> open_secret_box(Backends& backends, const DataFolder& folder);

}  // namespace mt::app
