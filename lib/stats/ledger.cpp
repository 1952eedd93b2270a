#include "stats/ledger.h"

#include <fmt/core.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/blocking.h"

namespace mt {
namespace {

constexpr std::chrono::milliseconds k_interval{1000};
constexpr std::int64_t k_patience_ns = 2'000'000'000;  // of one flush with files that failed before
constexpr std::int64_t k_never = -1;

// A slot behind its stored row (power loss wrote the file but not the page) is brought up to it.
void raise_to(Slot& slot, const Totals& stored) {
    const auto raise = [](std::atomic<std::int64_t>& value, std::int64_t least) {
        if (value.load() < least) {
            value.store(least);
        }
    };
    for (std::size_t i = 0; i < k_counters; ++i) {
        raise(slot.counters[i], stored.counters[i]);
    }
    for (std::size_t i = 0; i < k_buckets; ++i) {
        raise(slot.buckets[i], stored.buckets[i]);
    }
}

bool is_shared_fault(const Error& error) {
    return error.code == Code::storage_full || error.code == Code::unavailable;
}

std::int64_t hour_of(WallTime time) {
    return std::chrono::floor<std::chrono::hours>(time).time_since_epoch().count();
}

}  // namespace

void TenantCounters::record(const CallRecord& call) {
    const auto add = [&](Counter counter, std::int64_t amount) {
        m_slot.counters[static_cast<std::size_t>(counter)].fetch_add(amount, std::memory_order_relaxed);
    };
    if (call.outcome == Counter::served) {
        add(Counter::latency_ns, call.latency.count());
        m_slot.buckets[bucket_of(call.latency)].fetch_add(1, std::memory_order_relaxed);
    }
    if (call.cache_hit) {
        add(*call.cache_hit ? Counter::cache_hits : Counter::cache_misses, 1);
    }
    if (call.tokens_in + call.tokens_out > 0) {
        add(Counter::tokens_in, call.tokens_in);
        add(Counter::tokens_out, call.tokens_out);
    }
    // In this order, and the other way round in settle(), so that no count is missed by both.
    m_slot.counters[static_cast<std::size_t>(call.outcome)].fetch_add(1);
    if (!m_changed.load() && !m_changed.exchange(true)) {
        m_on_change();
    }
}

Totals TenantCounters::settle() {
    m_changed.exchange(false);
    return m_slot.totals(std::memory_order_seq_cst);
}

struct Ledger::State {
    // One tenant's life. The mutex is held while its file is written.
    struct Account {
        std::string tenant;
        std::string uid;
        std::shared_ptr<TenantCounters> counters;
        std::mutex mutex{};
        bool erased = false;
        bool failing = false;
        std::int64_t folded_hour = k_never;
    };
    using AccountPtr = std::shared_ptr<Account>;

    State(SlotFile& slot_file, TenantFiles& tenant_files, const Clock& the_clock, Log& the_log, std::size_t most_series)
        : slots(slot_file), files(tenant_files), clock(the_clock), log(the_log), series(slot_file, most_series) {}

    SlotFile& slots;
    TenantFiles& files;
    const Clock& clock;
    Log& log;
    TenantSeries series;

    mutable std::mutex mutex;                              // guards the three below; held for moments only
    std::unordered_map<std::string, AccountPtr> accounts;  // by uid
    std::vector<std::string> changed;                      // uids; some may be gone
    LedgerHealth health;

    std::mutex opening;   // one reads a file into a slot at a time
    std::mutex flushing;  // one flushes at a time

    std::condition_variable_any wake;
    std::mutex wake_mutex;
    std::jthread thread;  // last: it uses everything above

    [[nodiscard]] AccountPtr find(const std::string& uid) const {
        const std::lock_guard lock(mutex);
        const auto found = accounts.find(uid);
        return found == accounts.end() ? nullptr : found->second;
    }

    void mark(const std::string& uid) {
        const std::lock_guard lock(mutex);
        changed.push_back(uid);
    }

    // The stored numbers of this writer, those of all former ones included.
    Result<Totals> take_over(const std::string& tenant, const Totals& live) {
        History history(files, tenant, slots.writer());
        Result<StoredTotals> stored = history.totals();
        if (!stored) {
            return std::move(stored).error();
        }
        return stored->others == Totals{} ? Result<Totals>(stored->own) : history.adopt(live, clock.wall());
    }

    // Writes one account. Its faults are logged when they start and end.
    Result<void> write(Account& account, WallTime at) {
        const std::lock_guard lock(account.mutex);
        if (account.erased) {
            return {};
        }
        History history(files, account.tenant, slots.writer());
        Result<void> written = history.write(account.counters->settle(), at);
        if (written && account.folded_hour != hour_of(at)) {
            written = history.fold(at, {});
            account.folded_hour = written ? hour_of(at) : k_never;
        }
        if (!written && !account.failing) {
            log.error(fmt::format("statistics of tenant '{}' cannot be written: {}", account.tenant,
                                  written.error().message));
        } else if (written && account.failing) {
            log.info(fmt::format("statistics of tenant '{}' are written again", account.tenant));
        }
        account.failing = !written;
        return written;
    }

    Result<void> flush(WallTime at) {
        const std::lock_guard one(flushing);
        std::vector<std::string> uids;
        {
            const std::lock_guard lock(mutex);
            uids.swap(changed);
        }
        Round round;
        std::vector<AccountPtr> failing;  // a file that somebody has locked is waited for: the others come first
        for (const AccountPtr& account : find_all(std::move(uids))) {
            if (account->failing) {
                failing.push_back(account);
            } else {
                write(account, at, round);
            }
        }
        const std::int64_t began_ns = clock.boot_ns();
        for (const AccountPtr& account : failing) {
            if (clock.boot_ns() - began_ns < k_patience_ns) {
                write(account, at, round);
            } else {
                round.failed.push_back(account->uid);
            }
        }
        note(round);
        return round.outcome;
    }

    // What becomes of one flush.
    struct Round {
        std::size_t written = 0;
        std::vector<std::string> failed{};  // uids
        Result<void> outcome{};             // the first error
    };

    void write(const AccountPtr& account, WallTime at, Round& round) {
        Result<void> written = write(*account, at);
        round.written += written ? 1U : 0U;
        if (!written) {
            round.failed.push_back(account->uid);
        }
        if (!written && round.outcome) {
            round.outcome = std::move(written);
        }
    }

    // Each once, without those that are gone.
    [[nodiscard]] std::vector<AccountPtr> find_all(std::vector<std::string> uids) const {
        std::sort(uids.begin(), uids.end());
        uids.erase(std::unique(uids.begin(), uids.end()), uids.end());
        const std::lock_guard lock(mutex);
        std::vector<AccountPtr> found;
        for (const std::string& uid : uids) {
            const auto account = accounts.find(uid);
            if (account != accounts.end()) {
                found.push_back(account->second);
            }
        }
        return found;
    }

    void note(const Round& round) {
        const std::lock_guard lock(mutex);
        changed.insert(changed.end(), round.failed.begin(), round.failed.end());
        health.failing_tenants = static_cast<std::int64_t>(round.failed.size());
        health.failed_writes += static_cast<std::int64_t>(round.failed.size());
        health.written += static_cast<std::int64_t>(round.written);
        const bool none = round.written == 0 && !round.outcome;
        health.fault =
            none && is_shared_fault(round.outcome.error()) ? std::optional(round.outcome.error()) : std::nullopt;
    }

    // Waits for the next full second of wall time. Then the minute that has just ended is still written as such, and
    // no flush belongs to two.
    [[nodiscard]] std::chrono::milliseconds until_next() const {
        return k_interval - clock.wall().time_since_epoch() % k_interval;
    }

    void run(const std::stop_token& stop) {
        std::unique_lock lock(wake_mutex);
        while (!wake.wait_for(lock, stop, until_next(), [&] { return stop.stop_requested(); })) {
            const Result<void> outcome = flush(clock.wall() - k_interval / 2);
            static_cast<void>(outcome);  // noted in health() and logged; the next round tries again
        }
    }
};

Ledger::Ledger(SlotFile& slots, TenantFiles& files, const Clock& clock, Log& log, std::size_t most_series)
    : m_state(std::make_unique<State>(slots, files, clock, log, most_series)) {}

Ledger::~Ledger() {
    m_state->thread = {};  // joined while everything it uses is still there
}

Result<std::shared_ptr<TenantCounters>> Ledger::open(const std::string& tenant, const std::string& uid) {
    const Result<std::unique_lock<std::mutex>> lock = lock_patiently(m_state->opening);
    if (!lock) {
        return lock.error();
    }
    if (const State::AccountPtr known = m_state->find(uid)) {
        return known->counters;
    }
    m_state->series.begin(tenant, uid);
    const Slot* present = m_state->slots.find(uid);
    Result<Totals> stored = m_state->take_over(tenant, present == nullptr ? Totals{} : present->totals());
    if (!stored) {
        return std::move(stored).error();
    }
    Result<Slot*> slot = m_state->slots.acquire(uid);
    if (!slot) {
        return std::move(slot).error();
    }
    raise_to(**slot, *stored);
    auto counters = std::make_shared<TenantCounters>(**slot, [state = m_state.get(), uid] { state->mark(uid); });
    const bool ahead = counters->totals() != *stored;
    auto account = std::make_shared<State::Account>();
    account->tenant = tenant;
    account->uid = uid;
    account->counters = counters;
    const std::lock_guard guard(m_state->mutex);
    m_state->accounts.emplace(uid, std::move(account));
    if (ahead) {
        m_state->changed.push_back(uid);
    }
    return counters;
}

Result<void> Ledger::flush() {
    return m_state->flush(m_state->clock.wall());
}

void Ledger::erase(const std::string& tenant, const std::string& uid) {
    State::AccountPtr account;
    {
        const std::lock_guard lock(m_state->mutex);
        const auto found = m_state->accounts.find(uid);
        if (found != m_state->accounts.end() && found->second->tenant == tenant) {
            account = std::move(found->second);
            m_state->accounts.erase(found);
        }
    }
    if (account) {
        const std::lock_guard lock(account->mutex);  // a flush in progress ends first
        account->erased = true;
    }
    m_state->series.retire(tenant, uid);
}

void Ledger::start() {
    m_state->thread = std::jthread([this](const std::stop_token& stop) { m_state->run(stop); });
}

Result<void> Ledger::stop() {
    if (m_state->thread.joinable()) {
        m_state->thread.request_stop();
        m_state->thread.join();
    }
    return flush();
}

LedgerHealth Ledger::health() const {
    const std::lock_guard lock(m_state->mutex);
    return m_state->health;
}

TenantSeries& Ledger::series() {
    return m_state->series;
}

}  // namespace mt
