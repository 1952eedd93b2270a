// What every LedgerStore promises.
#include "stats/ledger_store.h"

#include <doctest/doctest.h>

#include <random>

#include "stats/file_ledger.h"
#include "stats/ledger_bed.h"
#include "support/needs.h"

using namespace mt;
using namespace std::chrono_literals;
using test::random_totals;
using test::served;
using test::sum;

namespace {

const Life k_acme{"acme", std::string(32, 'a')};

struct FileShelf {
    FileShelf() : files(temp.path(), {8, true}), store(files, writer) { REQUIRE(files.create("acme")); }
    static bool is_there() { return true; }

    test::TempFolder temp;
    test::FakeClock clock;
    std::string writer = std::string(32, 'e');
    TenantFiles files;
    FileLedger store;
};

struct PostgresShelf {
    PostgresShelf() : connections(test::fresh_ledger()), store(connections.pool, writer, clock) {
        REQUIRE(store.enter());
    }
    static bool is_there() { return test::PrivatePostgres::is_installed(); }

    test::FakeClock clock;
    std::string writer = std::string(32, 'e');
    test::LedgerPool connections;
    PostgresLedger store;
};

// As Ledger does it, with the fold of every hour.
void write(LedgerStore& store, const Totals& now, WallTime at) {
    const std::vector<LedgerStore::Entry> entries{{k_acme, now}};
    const Result<void> written = store.write(entries, at);
    REQUIRE_MESSAGE(written, written.error().message << " " << written.error().detail);
    REQUIRE(store.fold(k_acme, at));
    const Result<bool> tended = store.tend(at);
    REQUIRE_MESSAGE(tended, tended.error().message << " " << tended.error().detail);
}

}  // namespace

TEST_CASE_TEMPLATE("the totals are the sum of the history, through years of writing and folding", Shelf, FileShelf,
                   PostgresShelf) {
    if (!Shelf::is_there()) {
        return;
    }
    Shelf shelf;
    std::mt19937 random(7);
    Totals now;
    for (int i = 0; i < 300; ++i) {
        now += random_totals(random);
        write(shelf.store, now, shelf.clock.wall());
        shelf.clock.advance(i % 3 == 0 ? 60h : std::chrono::hours{20} + 7min);
        const Result<LedgerSnapshot> all = shelf.store.read(k_acme, {}, 24h);
        REQUIRE_MESSAGE(all, all.error().message << all.error().detail);
        REQUIRE(sum(all->periods) == now);
        REQUIRE(all->stored.own == now);
        REQUIRE(shelf.store.totals(k_acme)->own == now);
    }
}

TEST_CASE_TEMPLATE("months are those of the calendar in UTC, to the hour", Shelf, FileShelf, PostgresShelf) {
    if (!Shelf::is_there()) {
        return;
    }
    Shelf shelf;  // 2026-11-23T00:00Z
    const WallTime december = *parse_rfc3339("2026-12-01T00:00:00.000Z");
    write(shelf.store, served(1), december - 1min);
    write(shelf.store, served(3), december);
    write(shelf.store, served(7), december + 24h * 2000);  // the others are in months now
    const WallTime november = *parse_rfc3339("2026-11-01T00:00:00.000Z");
    const auto counted = [&](WallTime from, WallTime to) {
        return sum(shelf.store.read(k_acme, {from, to}, 60s)->periods);
    };
    CHECK(counted(november, december) == served(1));
    CHECK(counted(december, december + 24h * 31) == served(2));
    CHECK(counted(november + 24h, november + 48h) == served(1));  // a month counts as one
    CHECK(counted(december + 24h * 31, december + 24h * 2001) == served(4));
}

TEST_CASE_TEMPLATE("a span takes the minutes in which it begins, and not the one in which it ends", Shelf, FileShelf,
                   PostgresShelf) {
    if (!Shelf::is_there()) {
        return;
    }
    Shelf shelf;
    const WallTime noon = shelf.clock.wall() + 12h;
    for (int minute = 0; minute < 10; ++minute) {
        write(shelf.store, served(minute + 1), noon + std::chrono::minutes{minute});
    }
    CHECK(sum(shelf.store.read(k_acme, {noon + 2min + 30s, noon + 5min}, 60s)->periods) == served(3));
    const Result<LedgerSnapshot> steps = shelf.store.read(k_acme, {noon, noon + 10min}, 300s);
    REQUIRE(steps->periods.size() == 2);
    CHECK(steps->periods[0] == Period{noon, served(5)});
    CHECK(steps->periods[1] == Period{noon + 5min, served(5)});
}

TEST_CASE_TEMPLATE("writing the same totals twice counts once, and counts never go back", Shelf, FileShelf,
                   PostgresShelf) {
    if (!Shelf::is_there()) {
        return;
    }
    Shelf shelf;
    write(shelf.store, served(5), shelf.clock.wall());
    write(shelf.store, served(5), shelf.clock.wall());
    write(shelf.store, served(3), shelf.clock.wall());
    CHECK(shelf.store.totals(k_acme)->own == served(5));
    CHECK(*shelf.store.take_over(k_acme, {}, shelf.clock.wall()) == served(5));
    CHECK(sum(shelf.store.read(k_acme, {}, 60s)->periods) == served(5));
}

TEST_CASE_TEMPLATE("what is in the slot alone counts as of now", Shelf, FileShelf, PostgresShelf) {
    if (!Shelf::is_there()) {
        return;
    }
    Shelf shelf;
    const test::TempFolder folder;
    const auto slots = *SlotFile::open(folder.path() / "slots", shelf.clock);
    (*slots->acquire(k_acme.uid))->counters[0] = 5;
    const WallTime now = shelf.clock.wall();
    write(shelf.store, served(3), now - 10min);
    Books books(shelf.store, slots.get(), k_acme);
    CHECK(*books.totals(now) == served(5));
    CHECK(*books.counted_in({now - 5min}, now) == served(2));
    CHECK(*books.counted_in({now - 1h}, now) == served(5));
    CHECK(*books.counted_in({now - 1h, now - 5min}, now) == served(3));
    const Result<std::vector<Period>> series = books.series({now - 1h}, 60s, now);
    REQUIRE(series->size() == 2);
    CHECK(series->back() == Period{now, served(2)});
    CHECK(books.verify()->faults.empty());
    CHECK(books.verify()->unwritten == served(2));
}

TEST_CASE("property: file and server give the same answers to the same questions" * test::k_needs_postgres) {
    FileShelf file;
    PostgresShelf server;
    std::mt19937 random(11);
    Totals now;
    WallTime at = file.clock.wall();
    for (int i = 0; i < 250; ++i) {
        now += random_totals(random);
        write(file.store, now, at);
        write(server.store, now, at);
        at += std::chrono::minutes{1 + random() % (i % 4 == 0 ? 40'000 : 90)};
    }
    for (int i = 0; i < 250; ++i) {
        const WallTime from = at - std::chrono::seconds{random() % (3 * 365 * 86'400)};
        const TimeSpan span{from,
                            random() % 3 == 0 ? WallTime::max() : from + std::chrono::seconds{random() % 40'000'000}};
        const std::chrono::seconds step{60 * (1 + random() % (i % 2 == 0 ? 100 : 100'000))};
        const Result<LedgerSnapshot> first = file.store.read(k_acme, span, step);
        const Result<LedgerSnapshot> second = server.store.read(k_acme, span, step);
        REQUIRE(first);
        REQUIRE(second);
        CHECK(first->stored.own == second->stored.own);
        REQUIRE(first->periods == second->periods);
    }
}
