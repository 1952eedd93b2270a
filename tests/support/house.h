#pragma once

#include <memory>
#include <string>

#include "catalog/catalog.h"
#include "config/config.h"
#include "sqlite/data_folder.h"
#include "sqlite/tenant_files.h"
#include "support/fake_clock.h"
#include "support/temp_folder.h"

namespace mt::test {

/// A data folder with its catalog, on a clock of its own.
struct CatalogHouse {
    CatalogHouse() : folder(*DataFolder::open(temp.path() / "data", true)), files(folder.tenants(), {16, true}) {
        catalog = *open_sqlite_catalog(folder, files, clock, {});
    }

    /// A second process on the same folder.
    [[nodiscard]] std::unique_ptr<Catalog> beside(TenantFiles& other) const {
        return *open_sqlite_catalog(folder, other, clock, {true, false});
    }

    static Result<void> anything(const Settings& /*own*/) { return {}; }

    Result<TenantRecord> add(const std::string& id, const Settings& own = {}) {
        return catalog->create_tenant(id, own, anything, "tester");
    }

    TempFolder temp;
    FakeClock clock;
    DataFolder folder;
    TenantFiles files;
    std::unique_ptr<Catalog> catalog;
};

}  // namespace mt::test
