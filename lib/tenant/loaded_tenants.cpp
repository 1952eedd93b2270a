#include "tenant/loaded_tenants.h"

#include <algorithm>
#include <mutex>
#include <utility>

namespace mt {

std::shared_ptr<const Tenant> LoadedTenants::find(std::string_view id) const {
    const std::shared_lock lock(m_mutex);
    const auto found = m_tenants.find(id);
    return found == m_tenants.end() ? nullptr : found->second;
}

std::shared_ptr<const Tenant> LoadedTenants::find_by_key(std::string_view key_id) const {
    const std::shared_lock lock(m_mutex);
    const auto owner = m_owners.find(key_id);
    const auto found = owner == m_owners.end() ? m_tenants.end() : m_tenants.find(owner->second);
    return found == m_tenants.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<const Tenant>> LoadedTenants::all() const {
    const std::shared_lock lock(m_mutex);
    std::vector<std::shared_ptr<const Tenant>> tenants;
    tenants.reserve(m_tenants.size());
    for (const auto& [id, tenant] : m_tenants) {
        tenants.push_back(tenant);
    }
    return tenants;
}

void LoadedTenants::place(const std::string& id, std::shared_ptr<const Tenant> tenant) {
    const std::unique_lock lock(m_mutex);
    if (const auto former = m_tenants.find(id); former != m_tenants.end()) {
        for (const KeyRecord& key : former->second->keys) {
            const auto owner = m_owners.find(key.key_id);
            if (owner != m_owners.end() && owner->second == id) {
                m_owners.erase(owner);
            }
        }
        m_tenants.erase(former);
    }
    if (tenant) {
        for (const KeyRecord& key : tenant->keys) {
            m_owners.try_emplace(key.key_id, id);
        }
        m_tenants.emplace(id, std::move(tenant));
    }
}

void LoadedTenants::remember_owner(std::string_view key_id, const std::shared_ptr<const Tenant>& tenant) {
    const std::unique_lock lock(m_mutex);
    const auto present = m_tenants.find(tenant->record.id);
    const bool owns = std::any_of(tenant->keys.begin(), tenant->keys.end(),
                                  [key_id](const KeyRecord& key) { return key.key_id == key_id; });
    if (owns && present != m_tenants.end() && present->second == tenant) {
        m_owners.try_emplace(std::string(key_id), tenant->record.id);
    }
}

}  // namespace mt
