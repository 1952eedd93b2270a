#include "stats/ledger.h"

#include <fmt/core.h>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <limits>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "base/blocking.h"
#include "stats/accounts.h"
#include "stats/file_ledger.h"

namespace mt {
namespace {

constexpr std::chrono::milliseconds k_interval{1000};
constexpr std::int64_t k_patience_ns = 2'000'000'000;  // of one flush with files that failed before
constexpr std::int64_t k_no_end_ns = std::numeric_limits<std::int64_t>::max();

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

// Of the disk or the server, and not of what is written.
bool is_outage(const Error& error) {
    return error.code == Code::storage_full || error.code == Code::unavailable || error.code == Code::busy ||
           error.code == Code::timeout;
}

// Whose readiness suffers when nothing can be written.
bool is_fault_of_all(const Error& error) {
    return error.code == Code::storage_full || error.code == Code::unavailable;
}

std::int64_t hour_of(WallTime time) {
    return std::chrono::floor<std::chrono::hours>(time).time_since_epoch().count();
}

}  // namespace

struct Ledger::State {
    using Batch = std::span<const AccountPtr>;

    // What becomes of one flush.
    struct Round {
        std::size_t written = 0;
        std::vector<std::string> failed{};  // uids
        Result<void> outcome{};             // the first error
        bool away = false;                  // the shared store: further attempts would fail as well
    };

    State(SlotFile& slot_file, LedgerStore& the_store, const Clock& the_clock, Log& the_log, std::size_t most_series)
        : slots(slot_file), store(the_store), clock(the_clock), log(the_log), series(slot_file, most_series) {
        if (store.is_shared()) {
            adopt_slots();
        }
    }

    std::unique_ptr<LedgerStore> own_store;  // null: somebody else's
    SlotFile& slots;
    LedgerStore& store;
    const Clock& clock;
    Log& log;
    TenantSeries series;

    Accounts accounts;
    mutable std::mutex mutex;  // guards the next; held for moments only
    LedgerHealth health;

    std::mutex opening;   // one reads stored numbers into a slot at a time
    std::mutex flushing;  // one flushes at a time
    bool away = false;    // of the last round; guarded by `flushing`

    std::condition_variable_any wake;
    std::mutex wake_mutex;
    std::jthread thread;  // last: it uses everything above

    // What a killed process had not written yet is written now, whoever asks for these tenants again.
    void adopt_slots() {
        slots.for_each([&](std::string_view uid, const Slot& slot) {
            const Life life{{}, std::string(uid)};
            Result<Totals> stored = store.take_over(life, slot.totals(), clock.wall());
            Result<Slot*> own = slots.acquire(uid);
            if (stored && own) {
                raise_to(**own, *stored);
                accounts.add(life, **own);
                accounts.mark(life.uid);
            }
        });
    }

    Result<void> write(Batch batch, WallTime at) {
        std::vector<std::unique_lock<std::mutex>> locks;
        std::vector<Account*> living;
        std::vector<LedgerStore::Entry> entries;
        for (const AccountPtr& account : batch) {
            locks.emplace_back(account->mutex);
            if (std::optional<Life> life = accounts.life_of(*account)) {
                living.push_back(account.get());
                entries.push_back({*std::move(life), account->counters->settle()});
            }
        }
        Result<void> written = entries.empty() ? Result<void>{} : store.write(entries, at);
        for (std::size_t i = 0; i < living.size() && written; ++i) {
            if (living[i]->folded_hour != hour_of(at)) {
                written = store.fold(entries[i].life, at);
                living[i]->folded_hour = written ? hour_of(at) : Account::k_never;
            }
        }
        return written;
    }

    void write(Batch batch, WallTime at, Round& round) {
        Result<void> written = write(batch, at);
        const bool outage = !written && is_outage(written.error());
        if (!written && !outage && batch.size() > 1) {  // the fault of one: the others shall not suffer
            for (std::size_t i = 0; i < batch.size(); ++i) {
                write(batch.subspan(i, 1), at, round);
            }
            return;
        }
        round.away = outage && store.is_shared();
        round.written += written ? batch.size() : 0;
        for (const AccountPtr& account : batch) {
            if (!written) {
                round.failed.push_back(account->uid);
            }
            if (!round.away) {
                note(*account, written);
            }
        }
        if (!written && round.outcome) {
            round.outcome = std::move(written);
        }
    }

    [[nodiscard]] std::string tenant_of(const Account& account) const {
        const std::optional<Life> life = accounts.life_of(account);
        return life ? life->tenant : "";
    }

    // A tenant's own faults are logged when they start and end.
    void note(Account& account, const Result<void>& written) const {
        if (!written && !account.failing) {
            log.error(fmt::format("statistics of tenant '{}' cannot be written: {}", tenant_of(account),
                                  written.error().message));
        } else if (written && account.failing) {
            log.info(fmt::format("statistics of tenant '{}' are written again", tenant_of(account)));
        }
        account.failing = !written;
    }

    // For at most `patience_ns`.
    void write_all(Batch accounts_due, WallTime at, std::int64_t patience_ns, Round& round) {
        const std::int64_t began_ns = clock.boot_ns();
        const std::size_t most = store.most_entries();
        for (std::size_t i = 0; i < accounts_due.size(); i += most) {
            const Batch batch = accounts_due.subspan(i, std::min(most, accounts_due.size() - i));
            if (!round.away && clock.boot_ns() - began_ns < patience_ns) {
                write(batch, at, round);
                continue;
            }
            for (const AccountPtr& account : batch) {
                round.failed.push_back(account->uid);
            }
        }
    }

    Result<void> flush(WallTime at) {
        const std::lock_guard one(flushing);
        std::vector<AccountPtr> due = accounts.take_marked();
        // A file that somebody has locked is waited for: the others come first.
        const auto failing =
            std::stable_partition(due.begin(), due.end(), [](const AccountPtr& account) { return !account->failing; });
        Round round;
        write_all({due.begin(), failing}, at, k_no_end_ns, round);
        write_all({failing, due.end()}, at, k_patience_ns, round);
        if (!round.away) {
            tend(at, round);
        }
        note(round);
        return round.outcome;
    }

    void tend(WallTime at, Round& round) {
        Result<bool> again = store.tend(at);
        if (again && *again) {
            accounts.mark_all();
        }
        if (!again) {
            round.away = store.is_shared() && is_outage(again.error());
            if (round.outcome) {
                round.outcome = std::move(again).error();
            }
        }
    }

    void note(const Round& round) {
        if (round.away && !away) {
            log.error("statistics cannot be written and wait: " + round.outcome.error().message);
        } else if (away && !round.away) {
            log.info("statistics are written again");
        }
        away = round.away;
        accounts.mark(round.failed);
        const std::lock_guard lock(mutex);
        health.failing_tenants = static_cast<std::int64_t>(round.failed.size());
        health.failed_writes += static_cast<std::int64_t>(round.failed.size());
        health.written += static_cast<std::int64_t>(round.written);
        const bool none = round.written == 0 && !round.outcome;
        health.fault =
            none && is_fault_of_all(round.outcome.error()) ? std::optional(round.outcome.error()) : std::nullopt;
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

Ledger::Ledger(SlotFile& slots, LedgerStore& store, const Clock& clock, Log& log, std::size_t most_series)
    : m_state(std::make_unique<State>(slots, store, clock, log, most_series)) {}

Ledger::Ledger(SlotFile& slots, TenantFiles& files, const Clock& clock, Log& log, std::size_t most_series) {
    auto store = std::make_unique<FileLedger>(files, slots.writer());
    m_state = std::make_unique<State>(slots, *store, clock, log, most_series);
    m_state->own_store = std::move(store);
}

Ledger::~Ledger() {
    m_state->thread = {};  // joined while everything it uses is still there
}

Result<std::shared_ptr<TenantCounters>> Ledger::open(const std::string& tenant, const std::string& uid) {
    const Result<std::unique_lock<std::mutex>> lock = lock_patiently(m_state->opening);
    if (!lock) {
        return lock.error();
    }
    if (const AccountPtr known = m_state->accounts.find(uid)) {
        if (m_state->accounts.name(tenant, uid)) {  // a slot of a former process
            m_state->series.begin(tenant, uid);
        }
        return known->counters;
    }
    m_state->series.begin(tenant, uid);
    const Life life{tenant, uid};
    const Slot* present = m_state->slots.find(uid);
    Result<Totals> stored =
        m_state->store.take_over(life, present == nullptr ? Totals{} : present->totals(), m_state->clock.wall());
    if (!stored) {
        return std::move(stored).error();
    }
    Result<Slot*> slot = m_state->slots.acquire(uid);
    if (!slot) {
        return std::move(slot).error();
    }
    raise_to(**slot, *stored);
    const AccountPtr account = m_state->accounts.add(life, **slot);
    if (account->counters->totals() != *stored) {
        m_state->accounts.mark(uid);
    }
    return account->counters;
}

Result<void> Ledger::flush() {
    return m_state->flush(m_state->clock.wall());
}

void Ledger::erase(const std::string& tenant, const std::string& uid) {
    m_state->accounts.erase(tenant, uid);
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
