#pragma once

#include <doctest/doctest.h>

#include <array>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/catalog.h"
#include "postgres/bed.h"
#include "sqlite/data_folder.h"
#include "sqlite/tenant_files.h"
#include "support/fake_clock.h"
#include "support/temp_folder.h"

// What every Catalog promises (catalog/catalog.h), checked through the interface alone.
namespace mt::test {

constexpr std::array<std::string_view, 2> k_catalog_kinds{"sqlite", "postgres"};

/// A catalog of one kind with nothing in it, on a clock of its own.
class CatalogBed {
  public:
    explicit CatalogBed(std::string_view kind)
        : m_kind(kind),
          m_folder(*DataFolder::open(m_temp.path() / "data", true)),
          m_files(m_folder.tenants(), {16, true}) {
        if (m_kind == "postgres") {
            m_server = shared_postgres();
            static_cast<void>(m_server->ask("DROP SCHEMA IF EXISTS mtagent CASCADE"));
        }
        catalog = open(m_files, true);
    }

    /// A second process on the same catalog.
    std::unique_ptr<Catalog> beside() { return open(m_other_files, false); }

    static Result<void> anything(const Settings& /*own*/) { return {}; }

    Result<TenantRecord> add(const std::string& id, const Settings& own = {}) const {
        return catalog->create_tenant(id, own, anything, "tester");
    }
    [[nodiscard]] std::string uid(const std::string& id) const { return catalog->row(id)->uid; }
    [[nodiscard]] std::int64_t now() const {
        return catalog->changes_since(std::numeric_limits<std::int64_t>::max())->sequence;
    }

  private:
    std::unique_ptr<Catalog> open(TenantFiles& files, bool first) {
        if (m_server == nullptr) {
            return *open_sqlite_catalog(m_folder, files, clock, {true, first});
        }
        m_pools.push_back(std::make_unique<PoolBed>(*m_server));
        Result<std::unique_ptr<Catalog>> opened = open_postgres_catalog(m_pools.back()->pool, clock, {});
        REQUIRE_MESSAGE(opened, opened.error().message, " ", opened.error().detail);
        return *std::move(opened);
    }

    std::string_view m_kind;
    TempFolder m_temp;
    DataFolder m_folder;
    TenantFiles m_files;
    TenantFiles m_other_files{m_folder.tenants(), {16, false}};
    PrivatePostgres* m_server = nullptr;
    std::vector<std::unique_ptr<PoolBed>> m_pools;

  public:
    FakeClock clock;
    std::unique_ptr<Catalog> catalog;  // goes before what it stands on
};

/// Runs `check` on a fresh catalog of each kind that this machine can have.
template <class Check>
void on_each_catalog(const Check& check) {
    for (const std::string_view kind : k_catalog_kinds) {
        CAPTURE(kind);
        if (kind != "postgres" || shared_postgres() != nullptr) {
            CatalogBed bed(kind);
            check(bed);
        }
    }
}

inline SettingChanges set_to(const std::string& field, Value value) {
    SettingChanges changes;
    changes.emplace(field, std::move(value));
    return changes;
}

}  // namespace mt::test
