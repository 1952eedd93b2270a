#pragma once

#include <functional>
#include <memory>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tenant/tenant.h"

namespace mt {

/// The tenants in memory, by id and by the ids of their keys. Thread-safe; every lock is held for moments only.
class LoadedTenants {
  public:
    /// Null when it is not here.
    [[nodiscard]] std::shared_ptr<const Tenant> find(std::string_view id) const;
    [[nodiscard]] std::shared_ptr<const Tenant> find_by_key(std::string_view key_id) const;
    /// In no order.
    [[nodiscard]] std::vector<std::shared_ptr<const Tenant>> all() const;

    /// Puts a tenant (null: none) into the place of what is known under its id, with its keys.
    void place(const std::string& id, std::shared_ptr<const Tenant> tenant);
    /// Remembers whose a key is, when that is still so: one that moved here from another tenant's settings is not known
    /// yet.
    void remember_owner(std::string_view key_id, const std::shared_ptr<const Tenant>& tenant);

  private:
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
    };

    mutable std::shared_mutex m_mutex;  // guards the rest
    std::unordered_map<std::string, std::shared_ptr<const Tenant>, TextHash, std::equal_to<>> m_tenants;
    std::unordered_map<std::string, std::string, TextHash, std::equal_to<>> m_owners;  // key id -> id of the tenant
};

}  // namespace mt
