#include "tenant/manager.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <thread>
#include <utility>

#include "base/blocking.h"
#include "base/text.h"
#include "tenant/departures.h"
#include "tenant/loaded_tenants.h"

namespace mt {
namespace {

// The longest waits for a change: where all is well, and where something is left to be done.
constexpr std::chrono::milliseconds k_calm{5000};
constexpr std::chrono::milliseconds k_restless{500};
constexpr std::chrono::milliseconds k_erase_interval{500};

Error no_tenant(std::string_view id) {
    return {Code::not_found, fmt::format("there is no tenant {}", quote(id))};
}

}  // namespace

struct TenantManager::State {
    State(Catalog& the_catalog, TenantFactory& the_factory, Ledger& the_ledger, Log& the_log)
        : catalog(the_catalog),
          factory(the_factory),
          log(the_log),
          departures(the_catalog, the_ledger, the_factory.clock(), the_log) {}

    Catalog& catalog;
    TenantFactory& factory;
    Log& log;
    Departures departures;

    LoadedTenants tenants;
    mutable std::shared_mutex mutex;  // guards the three below; held for moments only
    std::vector<KeyRecord> operator_keys;
    std::shared_ptr<const Config> config;
    std::optional<Error> fault;

    std::mutex loading;  // one loads or refreshes at a time, so that no stale state overwrites a newer one
    std::int64_t sequence = 0;
    std::set<std::string> changed;  // what is still to be applied

    std::atomic<bool> restless{true};
    std::condition_variable_any erase_wake;
    std::jthread eraser;  // of a shared catalog
    std::jthread thread;

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
        return load(*record);
    }

    Result<std::shared_ptr<const Tenant>> load(const TenantRecord& record) {
        Result<std::vector<KeyRecord>> keys = catalog.keys(record.id);
        if (!keys) {
            return std::move(keys).error();
        }
        Result<std::shared_ptr<const Tenant>> tenant =
            factory.make(record, *keys, *current_config(), tenants.find(record.id));
        if (tenant) {
            tenants.place(record.id, *tenant);
        }
        return tenant;
    }

    void forget(const std::string& id) { tenants.place(id, nullptr); }

    Result<void> load_operator_keys() {
        Result<std::vector<KeyRecord>> keys = catalog.keys("");
        if (!keys) {
            return std::move(keys).error();
        }
        const std::unique_lock lock(mutex);
        operator_keys = *std::move(keys);
        return {};
    }

    // Whether an error says that a shared catalog is away: then what is loaded is served on.
    [[nodiscard]] bool is_away(const Error& error) const {
        return catalog.shared() && (error.code == Code::unavailable || error.code == Code::busy);
    }

    // Serves a life no more, and has it erased.
    void dismiss(const std::string& id, const std::string& uid) {
        const std::shared_ptr<const Tenant> present = tenants.find(id);
        const bool loaded = present && present->record.uid == uid;
        TenantRecord record;
        record.id = id;
        record.uid = uid;
        departures.add(loaded ? present->record : record, loaded ? present->counters : nullptr);
        if (loaded) {
            forget(id);
        }
    }

    Result<void> dismiss_marked() {
        Result<std::vector<TenantRecord>> marked = catalog.removing();
        if (!marked) {
            return std::move(marked).error();
        }
        for (const TenantRecord& record : *marked) {
            dismiss(record.id, record.uid);
        }
        return {};
    }

    // Brings one loaded tenant in line with the catalog.
    Result<void> apply_change(const std::string& id) {
        const std::shared_ptr<const Tenant> present = tenants.find(id);
        if (!present) {
            return {};
        }
        Result<TenantRecord> record = catalog.tenant(id);
        const bool gone = record ? record->uid != present->record.uid || record->status == TenantStatus::removing
                                 : record.error().code == Code::not_found;
        if (gone) {  // where it was erased by others, what is here of it is left to do
            dismiss(id, present->record.uid);
            return {};
        }
        Result<std::shared_ptr<const Tenant>> loaded = record ? load(*record) : std::move(record).error();
        if (!loaded && !is_away(loaded.error())) {
            // Rather no service than one by settings and keys that no longer hold; the next call loads again.
            forget(id);
        }
        return loaded ? Result<void>{} : Result<void>{std::move(loaded).error()};
    }

    // A fault of one tenant does not keep the changes of the others back.
    Result<void> apply_changes() {
        while (!changed.empty()) {
            const std::string& id = *changed.begin();
            if (Result<void> applied = apply_change(id); !applied) {
                if (is_away(applied.error())) {
                    return applied;
                }
                log.error(fmt::format("tenant '{}' cannot be loaded: {}", id, applied.error().message));
            }
            changed.erase(changed.begin());
        }
        return {};
    }

    Result<void> take_changes() {
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
        if (!changes->tenants.empty()) {
            if (Result<void> dismissed = dismiss_marked(); !dismissed) {
                return dismissed;
            }
        }
        changed.insert(changes->tenants.begin(), changes->tenants.end());
        sequence = changes->sequence;
        return apply_changes();
    }

    Result<void> refresh() {
        Result<void> outcome = take_changes();
        if (outcome && !eraser.joinable()) {
            outcome = departures.erase_ended();
        }
        restless = !outcome || !departures.empty();
        return outcome;
    }

    void keep_erasing(const std::stop_token& stop) {
        std::mutex waiting;
        std::unique_lock lock(waiting);
        while (!erase_wake.wait_for(lock, stop, k_erase_interval, [&] { return stop.stop_requested(); })) {
            const Result<void> outcome = departures.erase_ended();
            static_cast<void>(outcome);  // the catalog is away: the other thread says so, and this one tries again
        }
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

void TenantManager::set_erase_data(EraseData erase_data) {
    m_state->departures.set_erase_data(std::move(erase_data));
}

Result<std::shared_ptr<const Tenant>> TenantManager::find(std::string_view id) {
    if (std::shared_ptr<const Tenant> tenant = m_state->tenants.find(id)) {
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
    if (std::shared_ptr<const Tenant> tenant = m_state->tenants.find(id)) {
        return tenant;
    }
    return m_state->load(std::string(id));
}

Result<std::shared_ptr<const Tenant>> TenantManager::find_by_key(std::string_view text) {
    const std::optional<std::string_view> key_id = key_id_of(text);
    if (!key_id) {
        return Error{Code::not_found, "this is no key"};
    }
    if (std::shared_ptr<const Tenant> tenant = m_state->tenants.find_by_key(*key_id)) {
        return tenant;
    }
    Result<std::string> owner = m_state->catalog.key_owner(*key_id);
    if (!owner) {
        return std::move(owner).error();
    }
    Result<std::shared_ptr<const Tenant>> tenant = find(*owner);
    if (tenant) {
        m_state->tenants.remember_owner(*key_id, *tenant);
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
    {
        const std::unique_lock exclusive(m_state->mutex);
        m_state->config = std::move(config);
    }
    Result<void> outcome;
    for (const std::shared_ptr<const Tenant>& tenant : m_state->tenants.all()) {
        const std::string& id = tenant->record.id;
        Result<std::shared_ptr<const Tenant>> loaded = m_state->load(id);
        if (!loaded && loaded.error().code != Code::not_found) {
            if (m_state->is_away(loaded.error())) {
                m_state->changed.insert(id);
                m_state->restless = true;
            } else {
                m_state->forget(id);
            }
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
        if (!now) {
            return std::move(now).error();
        }
        m_state->sequence = now->sequence;
        if (Result<void> dismissed = m_state->dismiss_marked(); !dismissed) {
            return dismissed;
        }
        if (Result<void> loaded = m_state->load_operator_keys(); !loaded) {
            return loaded;
        }
    }
    if (Result<void> first = refresh(); !first) {
        return first;
    }
    if (m_state->catalog.shared()) {  // erasing on other servers takes long: changes do not wait for it
        m_state->eraser = std::jthread([this](const std::stop_token& stop) { m_state->keep_erasing(stop); });
    }
    m_state->thread = std::jthread([this](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            m_state->catalog.await_change(m_state->restless ? k_restless : k_calm);
            if (!stop.stop_requested()) {
                const Result<void> outcome = refresh();
                static_cast<void>(outcome);  // noted in fault() and logged; the next round tries again
            }
        }
    });
    return {};
}

void TenantManager::stop() {
    if (m_state->eraser.joinable()) {
        m_state->eraser.request_stop();
        m_state->eraser.join();
    }
    if (m_state->thread.joinable()) {
        m_state->thread.request_stop();
        m_state->catalog.wake();
        m_state->thread.join();
    }
}

std::vector<std::shared_ptr<const Tenant>> TenantManager::loaded() const {
    return m_state->tenants.all();
}

bool TenantManager::misses_changes() const {
    const std::optional<Error> now = fault();
    return now && m_state->is_away(*now);
}

std::optional<Error> TenantManager::fault() const {
    const std::shared_lock lock(m_state->mutex);
    return m_state->fault;
}

}  // namespace mt
