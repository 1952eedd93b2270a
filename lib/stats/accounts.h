#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "stats/ledger_store.h"
#include "stats/slot_file.h"
#include "stats/tenant_counters.h"

namespace mt {

/// One life of a tenant while it counts in this process.
struct Account {
    static constexpr std::int64_t k_never = -1;

    std::string uid;
    std::shared_ptr<TenantCounters> counters;
    std::mutex mutex{};                  ///< held while it is written
    bool failing = false;                ///< this and the next are of whoever flushes
    std::int64_t folded_hour = k_never;  ///< since 1970
};

using AccountPtr = std::shared_ptr<Account>;

/// The lives that count in this process, and which of them have something to be written. Thread-safe; whoever counts
/// waits for it for moments only.
class Accounts {
  public:
    /// A new life, whose counters mark it. `life.tenant` may be unknown yet. The slot must outlive the counters.
    AccountPtr add(const Life& life, Slot& slot);
    /// The account of a life, or null.
    [[nodiscard]] AccountPtr find(const std::string& uid) const;
    /// Says whose life it is. True when nobody had said before.
    bool name(const std::string& tenant, const std::string& uid);
    /// Nothing when it has been erased.
    [[nodiscard]] std::optional<Life> life_of(const Account& account) const;
    /// Takes the life of this tenant out. Nobody writes it any more when this has returned.
    void erase(const std::string& tenant, const std::string& uid);

    void mark(const std::string& uid);
    void mark(const std::vector<std::string>& uids);
    void mark_all();
    /// Those that are marked, each once; they are not any more.
    [[nodiscard]] std::vector<AccountPtr> take_marked();

  private:
    struct Entry {
        AccountPtr account;
        std::string tenant;
    };

    mutable std::mutex m_mutex;
    std::unordered_map<std::string, Entry> m_entries;  // by uid
    std::vector<std::string> m_marked;                 // uids; some may be gone
};

}  // namespace mt
