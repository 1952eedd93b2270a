#include "stats/accounts.h"

#include <algorithm>
#include <utility>

namespace mt {

AccountPtr Accounts::add(const Life& life, Slot& slot) {
    auto account = std::make_shared<Account>();
    account->uid = life.uid;
    account->counters = std::make_shared<TenantCounters>(slot, [this, uid = life.uid] { mark(uid); });
    const std::lock_guard lock(m_mutex);
    m_entries.emplace(life.uid, Entry{account, life.tenant});
    return account;
}

AccountPtr Accounts::find(const std::string& uid) const {
    const std::lock_guard lock(m_mutex);
    const auto found = m_entries.find(uid);
    return found == m_entries.end() ? nullptr : found->second.account;
}

bool Accounts::name(const std::string& tenant, const std::string& uid) {
    const std::lock_guard lock(m_mutex);
    const auto found = m_entries.find(uid);
    const bool first = found != m_entries.end() && found->second.tenant.empty();
    if (first) {
        found->second.tenant = tenant;
    }
    return first;
}

std::optional<Life> Accounts::life_of(const Account& account) const {
    const std::lock_guard lock(m_mutex);
    const auto found = m_entries.find(account.uid);
    return found == m_entries.end() ? std::nullopt : std::optional(Life{found->second.tenant, account.uid});
}

void Accounts::erase(const std::string& tenant, const std::string& uid) {
    AccountPtr account;
    {
        const std::lock_guard lock(m_mutex);
        const auto found = m_entries.find(uid);
        if (found != m_entries.end() && (found->second.tenant == tenant || found->second.tenant.empty())) {
            account = std::move(found->second.account);
            m_entries.erase(found);
        }
    }
    if (account) {
        const std::lock_guard lock(account->mutex);  // a flush in progress ends first
    }
}

void Accounts::mark(const std::string& uid) {
    const std::lock_guard lock(m_mutex);
    m_marked.push_back(uid);
}

void Accounts::mark(const std::vector<std::string>& uids) {
    const std::lock_guard lock(m_mutex);
    m_marked.insert(m_marked.end(), uids.begin(), uids.end());
}

void Accounts::mark_all() {
    const std::lock_guard lock(m_mutex);
    for (const auto& [uid, entry] : m_entries) {
        m_marked.push_back(uid);
    }
}

std::vector<AccountPtr> Accounts::take_marked() {
    const std::lock_guard lock(m_mutex);
    std::vector<std::string> uids = std::exchange(m_marked, {});
    std::sort(uids.begin(), uids.end());
    uids.erase(std::unique(uids.begin(), uids.end()), uids.end());
    std::vector<AccountPtr> found;
    for (const std::string& uid : uids) {
        const auto entry = m_entries.find(uid);
        if (entry != m_entries.end()) {
            found.push_back(entry->second.account);
        }
    }
    return found;
}

}  // namespace mt
