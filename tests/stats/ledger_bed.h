#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "stats/books.h"
#include "stats/ledger.h"
#include "stats/postgres_ledger.h"
#include "stats/totals_kit.h"
#include "support/fake_clock.h"
#include "support/private_postgres.h"
#include "support/temp_folder.h"

namespace mt::test {

inline Totals sum(const std::vector<Period>& periods) {
    Totals all;
    for (const Period& period : periods) {
        all += period.totals;
    }
    return all;
}

/// A server with an empty ledger, the same for all tests of a process. Only where PostgreSQL is installed.
inline PrivatePostgres& fresh_ledger() {
    static PrivatePostgres server;
    const std::string dropped = server.ask("DROP SCHEMA IF EXISTS mtagent CASCADE; SELECT 1");
    REQUIRE(dropped.ends_with("1"));
    return server;
}

/// Connections of one process; they go by real time.
struct LedgerPool {
    explicit LedgerPool(const PrivatePostgres& server) : LedgerPool(server.url()) {}
    explicit LedgerPool(const std::string& url) : pool(options_of(url), clock, log) {
        const Result<void> ready = migrate_ledger(pool);
        REQUIRE_MESSAGE(ready, ready.error().message << ready.error().detail);
    }
    static postgres::PoolOptions options_of(const std::string& url) {
        postgres::PoolOptions options;
        options.url = url;
        options.connections = 4;
        return options;
    }

    SystemClock clock;
    Log log{LogLevel::off};
    postgres::Pool pool;
};

/// A replica: a slot file and connections of its own, one ledger for all.
struct Replica {
    Replica(const PrivatePostgres& server, const Clock& the_clock) : Replica(server.url(), the_clock) {}
    Replica(const std::string& url, const Clock& the_clock) : clock(the_clock), connections(url) { start(); }

    void start() {
        slots = *SlotFile::open(folder.path() / "stats.slots", clock);
        store = std::make_unique<PostgresLedger>(connections.pool, slots->writer(), clock);
        const Result<bool> entered = store->enter();
        REQUIRE_MESSAGE(entered, entered.error().message << entered.error().detail);
        if (!*entered) {
            slots.reset();
            REQUIRE(SlotFile::set_aside(folder.path() / "stats.slots", "stale"));
            return start();
        }
        ledger = std::make_unique<Ledger>(*slots, *store, clock, log);
    }
    /// As by kill -9.
    void kill() {
        ledger.reset();
        store.reset();
        slots.reset();
    }
    /// Again and again, as every second.
    void flush_at_last() {
        const std::int64_t began_ns = connections.clock.boot_ns();
        Result<void> flushed = ledger->flush();
        while (!flushed && connections.clock.boot_ns() - began_ns < 20'000'000'000) {
            std::this_thread::yield();
            flushed = ledger->flush();
        }
        REQUIRE_MESSAGE(flushed, flushed.error().message << " " << flushed.error().detail);
    }
    void lose_volume() { std::filesystem::remove(folder.path() / "stats.slots"); }

    TenantCounters& open(const Life& life) {
        held = *ledger->open(life.tenant, life.uid);
        return *held;
    }
    void serve(const Life& life, int calls) {
        TenantCounters& counters = open(life);
        for (int i = 0; i < calls; ++i) {
            counters.record({Counter::served, std::chrono::milliseconds{1}, 1, 2, {}});
        }
    }
    [[nodiscard]] std::int64_t seen(const Life& life) {
        const Result<Totals> totals = Books(*store, slots.get(), life).totals({});
        return totals ? totals->of(Counter::served) : -1;
    }
    [[nodiscard]] std::vector<std::string> faults(const Life& life) {
        const Result<Books::Verdict> verdict = Books(*store, slots.get(), life).verify();
        return verdict ? verdict->faults : std::vector{verdict.error().message};
    }

    const Clock& clock;
    TempFolder folder;
    Log log{LogLevel::off};
    LedgerPool connections;
    std::unique_ptr<SlotFile> slots;
    std::unique_ptr<PostgresLedger> store;
    std::unique_ptr<Ledger> ledger;
    std::shared_ptr<TenantCounters> held;
};

inline Life new_life(const std::string& tenant) {
    return {tenant, random_hex(16)};
}

}  // namespace mt::test
