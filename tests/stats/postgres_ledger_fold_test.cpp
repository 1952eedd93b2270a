// Writers that are silent for a day.
#include <doctest/doctest.h>

#include <filesystem>
#include <latch>
#include <thread>

#include "stats/shared_ledger.h"

using namespace mt;
using namespace mt::test;
using namespace std::chrono_literals;

TEST_CASE_FIXTURE(SharedLedger, "silent writers are folded, and nobody's numbers change" * k_needs_postgres) {
    Replica witness(server, clock);
    Replica gone(server, clock);
    Replica also_gone(server, clock);
    gone.serve(acme, 5);
    gone.serve(umbra, 2);
    also_gone.serve(acme, 3);
    witness.serve(acme, 1);
    REQUIRE(gone.ledger->flush());
    REQUIRE(also_gone.ledger->flush());
    gone.kill();
    also_gone.kill();
    pass_a_day(witness);
    CHECK(folded_writers() == "2");
    CHECK(rows("writer = ''") == "2");
    CHECK(rows("uid = '" + acme.uid + "'") == "2");
    CHECK(witness.seen(acme) == 9);
    CHECK(witness.seen(umbra) == 2);
    CHECK(witness.faults(acme).empty());
    CHECK(all_served(witness) == 11);

    gone.start();  // sets its slots aside
    CHECK(std::filesystem::exists(gone.folder.path() / "stats.slots.stale"));
    CHECK(gone.open(acme).totals() == Totals{});
    gone.serve(acme, 4);
    REQUIRE(gone.ledger->flush());
    CHECK(witness.seen(acme) == 13);
    CHECK(gone.seen(acme) == 13);
    CHECK(gone.faults(acme).empty());
}

TEST_CASE_FIXTURE(SharedLedger,
                  "a slot file whose writer was folded adds nothing to what a command sees" * k_needs_postgres) {
    Replica witness(server, clock);
    Replica gone(server, clock);
    gone.serve(acme, 5);
    REQUIRE(gone.ledger->flush());
    gone.kill();
    pass_a_day(witness);
    const auto slots = *SlotFile::open_read_only(gone.folder.path() / "stats.slots");
    PostgresLedger store(witness.connections.pool, slots->writer(), clock);
    Books books(store, slots.get(), acme);
    CHECK(*books.totals({}) == witness.store->totals(acme)->others);
    CHECK(books.totals({})->of(Counter::served) == 5);
    CHECK(books.counted_in({}, clock.wall())->of(Counter::served) == 5);
    CHECK(books.verify()->faults.empty());
    CHECK(live_totals((**store.all()).at(acme.uid), slots->find(acme.uid)).of(Counter::served) == 5);
}

TEST_CASE_FIXTURE(SharedLedger,
                  "a replica that was cut off until it was folded goes on where it was" * k_needs_postgres) {
    Replica witness(server, clock);
    Replica cut_off(server, clock);
    const std::vector<Life> lives = new_lives(600);
    for (const Life& life : lives) {
        cut_off.serve(life, 3);
    }
    witness.serve(lives[0], 1);
    REQUIRE(cut_off.ledger->flush());
    cut_off.serve(lives[0], 2);  // counted, not written
    pass_a_day(witness);
    CHECK(rows("writer = ''") == "600");
    CHECK(witness.seen(lives[0]) == 4);
    cut_off.serve(lives[1], 4);
    REQUIRE(cut_off.ledger->flush());
    CHECK(folded_writers() == "0");
    CHECK(rows("writer = '' AND served <> 0") == "0");
    for (Replica* replica : {&witness, &cut_off}) {
        CHECK(replica->seen(lives[0]) == 6);
        CHECK(replica->seen(lives[1]) == 7);
        CHECK(replica->seen(lives[2]) == 3);
        CHECK(replica->faults(lives[0]).empty());
        CHECK(replica->faults(lives[2]).empty());
    }
    CHECK(all_served(witness) == 600 * 3 + 1 + 2 + 4);
    // As after any other restart.
    cut_off.kill();
    cut_off.start();
    cut_off.serve(lives[2], 1);
    REQUIRE(cut_off.ledger->flush());
    CHECK(witness.seen(lives[2]) == 4);
    CHECK(all_served(witness) == 600 * 3 + 1 + 2 + 4 + 1);
}

TEST_CASE_FIXTURE(SharedLedger, "nobody was silent while the database was away" * k_needs_postgres) {
    Replica one(server, clock);
    Replica other(server, clock);
    one.serve(new_life("acme"), 1);
    REQUIRE(one.ledger->flush());
    // The last beat of anybody was days ago.
    REQUIRE(updates("UPDATE mtagent.ledger_clock SET at = at - interval '3 days'"));
    for (int i = 0; i < 5; ++i) {
        clock.advance(61s);
        REQUIRE(other.ledger->flush());
    }
    CHECK(folded_writers() == "0");
}

TEST_CASE_FIXTURE(SharedLedger, "racing folds fold each row once" * k_needs_postgres) {
    const std::vector<Life> lives = new_lives(300);
    std::vector<std::unique_ptr<Replica>> replicas;
    for (int i = 0; i < 7; ++i) {
        replicas.push_back(std::make_unique<Replica>(server, clock));
        for (const Life& life : lives) {
            replicas.back()->serve(life, 1);
        }
        REQUIRE(replicas.back()->ledger->flush());
    }
    for (std::size_t i = 3; i < replicas.size(); ++i) {
        replicas[i]->kill();
    }
    for (std::size_t i = 0; i < 3; ++i) {
        replicas[i]->serve(lives[0], 1);
    }
    observe_a_day();
    for (std::size_t i = 0; i < 3; ++i) {
        clock.advance(16s);
        REQUIRE(updates("UPDATE mtagent.ledger_writers SET seen_ms = seen_ms + 86400000 WHERE writer = '" +
                        replicas[i]->slots->writer() + "'"));
    }
    clock.advance(61s);
    {
        std::latch start(3);
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < 3; ++i) {
            threads.emplace_back([&, i] {
                start.arrive_and_wait();
                for (int round = 0; round < 10; ++round) {
                    CHECK(replicas[i]->ledger->flush());
                }
            });
        }
    }
    CHECK(folded_writers() == "4");
    CHECK(rows("writer = '' AND served = 4") == "300");
    CHECK(rows("true") == "1200");
    CHECK(all_served(*replicas[0]) == 7 * 300 + 3);
    CHECK(replicas[1]->faults(lives[0]).empty());
}
