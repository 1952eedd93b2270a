#pragma once

#include <string>

#include "sqlite/tenant_files.h"
#include "stats/ledger_store.h"

namespace mt {

/// The ledger in the tenants' own files: see History. Cheap to make; `files` must outlive it. Thread-safe.
class FileLedger final : public LedgerStore {
  public:
    /// `writer`: SlotFile::writer(); empty where no server has ever run.
    FileLedger(TenantFiles& files, std::string writer) : m_files(files), m_writer(std::move(writer)) {}

    [[nodiscard]] bool is_shared() const override { return false; }
    Result<StoredTotals> totals(const Life& life) override;
    Result<LedgerSnapshot> read(const Life& life, const TimeSpan& span, std::chrono::seconds step) override;
    Result<std::optional<std::map<std::string, StoredTotals>>> all() override;
    Result<Totals> take_over(const Life& life, const Totals& live, WallTime at) override;
    [[nodiscard]] std::size_t most_entries() const override { return 1; }
    Result<void> write(std::span<const Entry> entries, WallTime at) override;
    Result<void> fold(const Life& life, WallTime at) override;
    Result<bool> tend(WallTime at) override;
    /// Nothing: they go with the tenant's file.
    Result<void> erase(const std::string& uid) override;

  private:
    TenantFiles& m_files;
    std::string m_writer;
};

}  // namespace mt
