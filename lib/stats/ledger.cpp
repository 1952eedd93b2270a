#include "stats/ledger.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/blocking.h"

namespace mt {
namespace {

constexpr std::chrono::seconds k_interval{1};

// Rows by name, so that an older or newer program reads what it knows.
constexpr std::array<std::string_view, 1> k_stats_steps{R"sql(
CREATE TABLE stats_totals(
    writer TEXT NOT NULL, counter TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY(writer, counter))
    STRICT, WITHOUT ROWID;
CREATE TABLE stats_minutes(
    minute INTEGER NOT NULL, counter TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY(minute, counter))
    STRICT, WITHOUT ROWID;
)sql"};
constexpr SchemaPart k_stats_part{"stats", k_stats_steps};

// All values of a Totals with their names; latency buckets are "latency_le_<bound in us>" and "latency_le_inf".
constexpr std::size_t k_values = k_counters + k_buckets;

std::string name_of(std::size_t value) {
    if (value < k_counters) {
        return std::string(k_counter_names[value]);
    }
    const std::size_t bucket = value - k_counters;
    return bucket < k_bucket_bounds_us.size() ? fmt::format("latency_le_{}", k_bucket_bounds_us[bucket])
                                              : "latency_le_inf";
}

const std::array<std::string, k_values>& names() {
    static const auto k_names = [] {
        std::array<std::string, k_values> made;
        for (std::size_t i = 0; i < k_values; ++i) {
            made[i] = name_of(i);
        }
        return made;
    }();
    return k_names;
}

std::int64_t& value_at(Totals& totals, std::size_t value) {
    return value < k_counters ? totals.counters[value] : totals.buckets[value - k_counters];
}

void add_row(Totals& totals, const std::string& name, std::int64_t amount) {
    const auto found = std::find(names().begin(), names().end(), name);
    if (found != names().end()) {
        value_at(totals, static_cast<std::size_t>(found - names().begin())) += amount;
    }
}

struct StoredTotals {
    Totals own;
    Totals others;
};

Result<StoredTotals> read_totals(TenantFiles& files, std::string_view tenant, const std::string& writer) {
    StoredTotals stored;
    Result<void> read = files.read(tenant, k_stats_part, [&](Database& database) -> Result<void> {
        Query row = database.query("SELECT writer, counter, value FROM stats_totals");
        while (row.step()) {
            add_row(row.text(0) == writer ? stored.own : stored.others, row.text(1), row.integer(2));
        }
        return {};
    });
    return read ? Result<StoredTotals>(stored) : Result<StoredTotals>(std::move(read).error());
}

// What one flush of a tenant writes.
struct Flush {
    Totals before;
    Totals now;
    std::int64_t minute = 0;
};

Result<void> write_totals(TenantFiles& files, const std::string& tenant, const std::string& writer, Flush flush) {
    return files.write(tenant, k_stats_part, [&](Database& database) -> Result<void> {
        for (std::size_t i = 0; i < k_values; ++i) {
            const std::int64_t difference = value_at(flush.now, i) - value_at(flush.before, i);
            if (difference == 0) {
                continue;
            }
            database
                .query(
                    "INSERT INTO stats_totals VALUES(?, ?, ?) "
                    "ON CONFLICT(writer, counter) DO UPDATE SET value = excluded.value")
                .bind(1, writer)
                .bind(2, names()[i])
                .bind(3, value_at(flush.now, i))
                .execute();
            database
                .query(
                    "INSERT INTO stats_minutes VALUES(?, ?, ?) "
                    "ON CONFLICT(minute, counter) DO UPDATE SET value = value + excluded.value")
                .bind(1, flush.minute)
                .bind(2, names()[i])
                .bind(3, difference)
                .execute();
        }
        return {};
    });
}

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
    add(call.outcome, 1);
}

Totals TenantCounters::totals() const {
    Totals sum = m_slot.totals();
    sum += m_others;
    return sum;
}

struct Ledger::State {
    State(SlotFile& slot_file, TenantFiles& tenant_files, const Clock& the_clock, Log& the_log)
        : slots(slot_file), files(tenant_files), clock(the_clock), log(the_log) {}

    SlotFile& slots;
    TenantFiles& files;
    const Clock& clock;
    Log& log;

    struct Account {
        std::string tenant;
        std::shared_ptr<TenantCounters> counters;
        Totals flushed;
        bool failing = false;
    };
    mutable std::mutex mutex;                 // guards accounts; held while writing, so that erase() waits for a flush
    mutable std::mutex fault_mutex;           // guards fault, so that asking for it waits for nothing
    std::map<std::string, Account> accounts;  // by uid
    std::optional<Error> fault;

    std::condition_variable_any wake;
    std::mutex wake_mutex;
    std::jthread thread;  // last: it uses everything above

    // Writes one account if it changed. Its faults are logged when they start and end.
    Result<void> write(Account& account) {
        const Totals now = account.counters->slot().totals();
        if (now == account.flushed) {
            return {};
        }
        const std::int64_t minute = std::chrono::floor<std::chrono::minutes>(clock.wall()).time_since_epoch().count();
        Result<void> written = write_totals(files, account.tenant, slots.writer(), {account.flushed, now, minute});
        if (written) {
            account.flushed = now;
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
};

Ledger::Ledger(SlotFile& slots, TenantFiles& files, const Clock& clock, Log& log)
    : m_state(std::make_unique<State>(slots, files, clock, log)) {}

Ledger::~Ledger() {
    m_state->thread = {};  // joined while everything it uses is still there
}

Result<std::shared_ptr<TenantCounters>> Ledger::open(const std::string& tenant, const std::string& uid) {
    Result<std::unique_lock<std::mutex>> lock = lock_patiently(m_state->mutex);
    if (!lock) {
        return std::move(lock).error();
    }
    const auto found = m_state->accounts.find(uid);
    if (found != m_state->accounts.end()) {
        return found->second.counters;
    }
    Result<StoredTotals> stored = read_totals(m_state->files, tenant, m_state->slots.writer());
    if (!stored) {
        return std::move(stored).error();
    }
    Result<Slot*> slot = m_state->slots.acquire(uid);
    if (!slot) {
        return std::move(slot).error();
    }
    raise_to(**slot, stored->own);
    auto counters = std::make_shared<TenantCounters>(**slot, stored->others);
    m_state->accounts.emplace(uid, State::Account{tenant, counters, stored->own});
    return counters;
}

Result<void> Ledger::flush() {
    const std::lock_guard lock(m_state->mutex);
    Result<void> outcome;
    std::size_t unchanged = 0;
    std::size_t failed = 0;
    for (auto& [uid, account] : m_state->accounts) {
        unchanged += account.counters->slot().totals() == account.flushed ? 1U : 0U;
        Result<void> written = m_state->write(account);
        failed += written ? 0U : 1U;
        if (!written && outcome) {
            outcome = std::move(written);
        }
    }
    const bool all = failed > 0 && failed + unchanged == m_state->accounts.size();
    const bool shared =
        !outcome && (outcome.error().code == Code::storage_full || outcome.error().code == Code::unavailable);
    const std::lock_guard fault_lock(m_state->fault_mutex);
    m_state->fault = all && shared ? std::optional(outcome.error()) : std::nullopt;
    return outcome;
}

Result<void> Ledger::flush(const std::string& uid) {
    const std::lock_guard lock(m_state->mutex);
    const auto found = m_state->accounts.find(uid);
    return found == m_state->accounts.end() ? Result<void>{} : m_state->write(found->second);
}

void Ledger::erase(const std::string& tenant, const std::string& uid) {
    const std::lock_guard lock(m_state->mutex);
    const auto found = m_state->accounts.find(uid);
    if (found != m_state->accounts.end() && found->second.tenant == tenant) {
        m_state->accounts.erase(found);
    }
    m_state->slots.release(uid);
}

void Ledger::start() {
    m_state->thread = std::jthread([this](const std::stop_token& stop) {
        std::unique_lock lock(m_state->wake_mutex);
        while (!m_state->wake.wait_for(lock, stop, k_interval, [&] { return stop.stop_requested(); })) {
            const Result<void> outcome = flush();
            static_cast<void>(outcome);  // noted in fault() and logged; the next round tries again
        }
    });
}

Result<void> Ledger::stop() {
    if (m_state->thread.joinable()) {
        m_state->thread.request_stop();
        m_state->thread.join();
    }
    return flush();
}

std::optional<Error> Ledger::fault() const {
    const std::lock_guard lock(m_state->fault_mutex);
    return m_state->fault;
}

Result<Totals> stored_totals(TenantFiles& files, const SlotFile* slots, std::string_view tenant, std::string_view uid) {
    const Slot* slot = slots == nullptr ? nullptr : slots->find(uid);
    Result<StoredTotals> stored = read_totals(files, tenant, slots == nullptr ? std::string{} : slots->writer());
    if (!stored) {
        return std::move(stored).error();
    }
    Totals totals = slot == nullptr ? stored->own : slot->totals();
    totals += stored->others;
    return totals;
}

Result<std::vector<std::string>> verify_ledger(TenantFiles& files, const SlotFile* slots, std::string_view tenant,
                                               std::string_view uid) {
    // The slot is read after the rows: a running server only ever adds to it in between.
    Result<StoredTotals> stored = read_totals(files, tenant, slots == nullptr ? std::string{} : slots->writer());
    Result<Totals> minutes = totals_since(files, tenant, WallTime{});
    if (!stored || !minutes) {
        return stored ? std::move(minutes).error() : std::move(stored).error();
    }
    std::vector<std::string> faults;
    Totals all = stored->own;
    all += stored->others;
    const Slot* slot = slots == nullptr ? nullptr : slots->find(uid);
    Totals live = slot == nullptr ? stored->own : slot->totals();
    for (std::size_t i = 0; i < k_values; ++i) {
        if (value_at(all, i) > value_at(*minutes, i)) {
            faults.push_back(fmt::format("tenant '{}': {} is {} in all but {} over its minutes", tenant, names()[i],
                                         value_at(all, i), value_at(*minutes, i)));
        }
        if (value_at(live, i) < value_at(stored->own, i)) {
            faults.push_back(fmt::format("tenant '{}': {} is {} in its slot but {} in its file", tenant, names()[i],
                                         value_at(live, i), value_at(stored->own, i)));
        }
    }
    return faults;
}

Result<Totals> totals_since(TenantFiles& files, std::string_view tenant, WallTime since) {
    Totals totals;
    Result<void> read = files.read(tenant, k_stats_part, [&](Database& database) -> Result<void> {
        Query row = database.query("SELECT counter, SUM(value) FROM stats_minutes WHERE minute >= ? GROUP BY counter");
        row.bind(1, std::int64_t{std::chrono::floor<std::chrono::minutes>(since).time_since_epoch().count()});
        while (row.step()) {
            add_row(totals, row.text(0), row.integer(1));
        }
        return {};
    });
    return read ? Result<Totals>(totals) : Result<Totals>(std::move(read).error());
}

}  // namespace mt
