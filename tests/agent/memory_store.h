#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "sqlite/tenant_files.h"
#include "storage/store.h"
#include "support/temp_folder.h"

namespace mt::test {

/// The memory store of one tenant, without a bound until it is set.
class MemoryStore {
  public:
    explicit MemoryStore(const Clock& clock) {
        Result<std::unique_ptr<Store>> opened =
            open_store("memory", {"tenant-basic", std::numeric_limits<std::int64_t>::max(), clock, m_files});
        m_store = std::move(*opened);
    }

    Store& operator*() { return *m_store; }
    Store* operator->() { return m_store.get(); }

  private:
    TempFolder m_folder;
    TenantFiles m_files{m_folder.path(), {}};
    std::unique_ptr<Store> m_store;
};

}  // namespace mt::test
