#include "tenant/manager.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <limits>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/blocking.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr std::chrono::milliseconds k_poll{100};  // a change is to be applied within 200 ms

struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

Error no_tenant(std::string_view id) {
    return {Code::not_found, fmt::format("there is no tenant {}", quote(id))};
}

// A removed tenant whose calls may still run. All generations of a tenant share its counters; once the ledger alone
// holds them, the last call of the last generation has ended.
struct Leaving {
    std::string id;
    std::string uid;
    std::weak_ptr<TenantCounters> counters;

    [[nodiscard]] bool ended() const { return counters.use_count() <= 1; }
};

}  // namespace

struct TenantManager::State {
    State(Catalog& the_catalog, TenantFactory& the_factory, Ledger& the_ledger, Log& the_log)
        : catalog(the_catalog), factory(the_factory), ledger(the_ledger), log(the_log) {}

    Catalog& catalog;
    TenantFactory& factory;
    Ledger& ledger;
    Log& log;

    mutable std::shared_mutex mutex;  // guards the five below; held for moments only
    std::unordered_map<std::string, std::shared_ptr<const Tenant>, TextHash, std::equal_to<>> tenants;
    std::unordered_map<std::string, std::string, TextHash, std::equal_to<>> owners;  // key id -> id, of loaded tenants
    std::vector<KeyRecord> operator_keys;
    std::shared_ptr<const Config> config;
    std::optional<Error> fault;

    std::mutex loading;  // one loads or refreshes at a time, so that no stale state overwrites a newer one
    std::int64_t sequence = 0;
    std::vector<Leaving> leaving;

    std::mutex wake_mutex;
    std::condition_variable_any wake;
    std::jthread thread;

    [[nodiscard]] std::shared_ptr<const Tenant> peek(std::string_view id) const {
        const std::shared_lock lock(mutex);
        const auto found = tenants.find(id);
        return found == tenants.end() ? nullptr : found->second;
    }

    [[nodiscard]] std::shared_ptr<const Tenant> peek_by_key(std::string_view key_id) const {
        const std::shared_lock lock(mutex);
        const auto owner = owners.find(key_id);
        const auto found = owner == owners.end() ? tenants.end() : tenants.find(owner->second);
        return found == tenants.end() ? nullptr : found->second;
    }

    // Remembers whose a key is, when that is still so: one that moved here from another tenant's settings is not known
    // yet.
    void remember_owner(std::string_view key_id, const std::shared_ptr<const Tenant>& tenant) {
        const std::unique_lock lock(mutex);
        const auto present = tenants.find(tenant->record.id);
        const bool owns = std::any_of(tenant->keys.begin(), tenant->keys.end(),
                                      [key_id](const KeyRecord& key) { return key.key_id == key_id; });
        if (owns && present != tenants.end() && present->second == tenant) {
            owners.try_emplace(std::string(key_id), tenant->record.id);
        }
    }

    // Puts a tenant (null: none) into the place of what is known under its id, with its keys.
    void place(const std::string& id, std::shared_ptr<const Tenant> tenant) {
        const std::unique_lock lock(mutex);
        if (const auto former = tenants.find(id); former != tenants.end()) {
            for (const KeyRecord& key : former->second->keys) {
                const auto owner = owners.find(key.key_id);
                if (owner != owners.end() && owner->second == id) {
                    owners.erase(owner);
                }
            }
            tenants.erase(former);
        }
        if (tenant) {
            for (const KeyRecord& key : tenant->keys) {
                owners.try_emplace(key.key_id, id);
            }
            tenants.emplace(id, std::move(tenant));
        }
    }

    [[nodiscard]] std::shared_ptr<const Config> current_config() const {
        const std::shared_lock lock(mutex);
        return config;
    }

    // Loads or reloads; `loading` is held.
    Result<std::shared_ptr<const Tenant>> load(const std::string& id) {
        Result<TenantRecord> record = catalog.tenant(id);
        if (!record || record->status == TenantStatus::removing) {
            const bool gone = record.has_value() || record.error().code == Code::not_found;
            return gone ? no_tenant(id) : std::move(record).error();
        }
        Result<std::vector<KeyRecord>> keys = catalog.keys(id);
        if (!keys) {
            return std::move(keys).error();
        }
        Result<std::shared_ptr<const Tenant>> tenant = factory.make(*record, *keys, *current_config(), peek(id));
        if (tenant) {
            place(id, *tenant);
        }
        return tenant;
    }

    void forget(const std::string& id) { place(id, nullptr); }

    Result<void> load_operator_keys() {
        Result<std::vector<KeyRecord>> keys = catalog.keys("");
        if (!keys) {
            return std::move(keys).error();
        }
        const std::unique_lock lock(mutex);
        operator_keys = *std::move(keys);
        return {};
    }

    // Brings one loaded tenant in line with the catalog.
    Result<void> apply_change(const std::string& id) {
        Result<TenantRecord> row = catalog.row(id);
        if (!row) {
            return row.error().code == Code::not_found ? Result<void>{} : std::move(row).error();
        }
        const std::shared_ptr<const Tenant> present = peek(id);
        if (row->status == TenantStatus::removing) {
            const bool known =
                std::any_of(leaving.begin(), leaving.end(), [&](const Leaving& gone) { return gone.uid == row->uid; });
            if (!known) {
                leaving.push_back({id, row->uid, present ? present->counters : nullptr});
            }
            forget(id);
            return {};
        }
        if (!present) {
            return {};
        }
        if (present->record.uid != row->uid || row->status == TenantStatus::removed) {
            forget(id);
            return {};
        }
        Result<std::shared_ptr<const Tenant>> loaded = load(id);
        if (!loaded) {
            forget(
                id);  // rather no service than one by settings and keys that no longer hold; the next call loads again
        }
        return loaded ? Result<void>{} : Result<void>{std::move(loaded).error()};
    }

    // Erases the removed tenants whose last call has ended.
    Result<void> erase_left() {
        Result<void> outcome;
        std::erase_if(leaving, [&](const Leaving& gone) {
            if (!gone.ended()) {
                return false;
            }
            ledger.erase(gone.id, gone.uid);
            Result<void> finished = catalog.finish_removal(gone.id);
            if (!finished) {
                outcome = std::move(finished);
                return false;
            }
            log.info(fmt::format("tenant '{}' is removed", gone.id));
            return true;
        });
        return outcome;
    }

    Result<void> refresh() {
        const std::lock_guard lock(loading);
        Result<Changes> changes = catalog.changes_since(sequence);
        if (!changes) {
            return std::move(changes).error();
        }
        if (changes->operator_keys) {
            if (Result<void> loaded = load_operator_keys(); !loaded) {
                return loaded;
            }
        }
        // A fault of one tenant does not keep the changes of the others back.
        for (const std::string& id : changes->tenants) {
            if (Result<void> applied = apply_change(id); !applied) {
                log.error(fmt::format("tenant '{}' cannot be loaded: {}", id, applied.error().message));
            }
        }
        sequence = changes->sequence;
        return erase_left();
    }

    void note(const Result<void>& outcome) {
        std::optional<Error> now = outcome ? std::nullopt : std::optional(outcome.error());
        const std::unique_lock lock(mutex);
        if (now && !fault) {
            log.error(fmt::format("changes of tenants cannot be applied: {}", now->message));
        } else if (!now && fault) {
            log.info("changes of tenants are applied again");
        }
        fault = std::move(now);
    }
};

TenantManager::TenantManager(Catalog& catalog, TenantFactory& factory, Ledger& ledger,
                             std::shared_ptr<const Config> config, Log& log)
    : m_state(std::make_unique<State>(catalog, factory, ledger, log)) {
    m_state->config = std::move(config);
}

TenantManager::~TenantManager() {
    stop();
}

Result<std::shared_ptr<const Tenant>> TenantManager::find(std::string_view id) {
    if (std::shared_ptr<const Tenant> tenant = m_state->peek(id)) {
        return tenant;
    }
    if (!check_tenant_id(id)) {
        return no_tenant(id);
    }
    // Strangers' guesses must not queue up before the loading of tenants.
    Result<TenantRecord> row = m_state->catalog.row(id);
    if (!row || row->status == TenantStatus::removing || row->status == TenantStatus::removed) {
        return row ? no_tenant(id) : std::move(row).error();
    }
    Result<std::unique_lock<std::mutex>> lock = lock_patiently(m_state->loading);
    if (!lock) {
        return std::move(lock).error();
    }
    if (std::shared_ptr<const Tenant> tenant = m_state->peek(id)) {
        return tenant;
    }
    return m_state->load(std::string(id));
}

Result<std::shared_ptr<const Tenant>> TenantManager::find_by_key(std::string_view text) {
    const std::optional<std::string_view> key_id = key_id_of(text);
    if (!key_id) {
        return Error{Code::not_found, "this is no key"};
    }
    if (std::shared_ptr<const Tenant> tenant = m_state->peek_by_key(*key_id)) {
        return tenant;
    }
    Result<std::string> owner = m_state->catalog.key_owner(*key_id);
    if (!owner) {
        return std::move(owner).error();
    }
    Result<std::shared_ptr<const Tenant>> tenant = find(*owner);
    if (tenant) {
        m_state->remember_owner(*key_id, *tenant);
    }
    return tenant;
}

std::optional<KeyRecord> TenantManager::operator_key(std::string_view text, WallTime now) const {
    const std::shared_lock lock(m_state->mutex);
    const auto& keys = m_state->operator_keys;
    const auto found = std::find_if(keys.begin(), keys.end(),
                                    [&](const KeyRecord& key) { return key.is_live(now) && matches(key, text); });
    return found == keys.end() ? std::nullopt : std::optional(*found);
}

Result<void> TenantManager::refresh() {
    Result<void> outcome = m_state->refresh();
    m_state->note(outcome);
    return outcome;
}

Result<void> TenantManager::reconfigure(std::shared_ptr<const Config> config) {
    const std::lock_guard lock(m_state->loading);
    std::vector<std::string> ids;
    {
        const std::unique_lock exclusive(m_state->mutex);
        m_state->config = std::move(config);
        for (const auto& [id, tenant] : m_state->tenants) {
            ids.push_back(id);
        }
    }
    Result<void> outcome;
    for (const std::string& id : ids) {
        Result<std::shared_ptr<const Tenant>> loaded = m_state->load(id);
        if (!loaded && loaded.error().code != Code::not_found) {
            m_state->forget(id);
            outcome = Error{loaded.error().code, fmt::format("tenant '{}': {}", id, loaded.error().message)};
        }
    }
    return outcome;
}

std::shared_ptr<const Config> TenantManager::config() const {
    return m_state->current_config();
}

Result<void> TenantManager::start() {
    {
        const std::lock_guard lock(m_state->loading);
        Result<Changes> now = m_state->catalog.changes_since(std::numeric_limits<std::int64_t>::max());
        Result<std::vector<TenantRecord>> removing = m_state->catalog.removing();
        if (!now || !removing) {
            return now ? std::move(removing).error() : std::move(now).error();
        }
        m_state->sequence = now->sequence;
        for (const TenantRecord& record : *removing) {
            m_state->leaving.push_back({record.id, record.uid, {}});
        }
        if (Result<void> loaded = m_state->load_operator_keys(); !loaded) {
            return loaded;
        }
    }
    if (Result<void> first = refresh(); !first) {
        return first;
    }
    m_state->thread = std::jthread([this](const std::stop_token& stop) {
        std::unique_lock lock(m_state->wake_mutex);
        while (!m_state->wake.wait_for(lock, stop, k_poll, [&] { return stop.stop_requested(); })) {
            const Result<void> outcome = refresh();
            static_cast<void>(outcome);  // noted in fault() and logged; the next round tries again
        }
    });
    return {};
}

void TenantManager::stop() {
    if (m_state->thread.joinable()) {
        m_state->thread.request_stop();
        m_state->thread.join();
    }
}

std::vector<std::shared_ptr<const Tenant>> TenantManager::loaded() const {
    const std::shared_lock lock(m_state->mutex);
    std::vector<std::shared_ptr<const Tenant>> tenants;
    tenants.reserve(m_state->tenants.size());
    for (const auto& [id, tenant] : m_state->tenants) {
        tenants.push_back(tenant);
    }
    return tenants;
}

std::optional<Error> TenantManager::fault() const {
    const std::shared_lock lock(m_state->mutex);
    return m_state->fault;
}

}  // namespace mt
