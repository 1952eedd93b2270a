#include "stats/postgres_ledger.h"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <thread>

#include "stats/shared_ledger.h"

using namespace mt;
using namespace mt::test;
using namespace std::chrono_literals;

TEST_CASE("without PostgreSQL" * doctest::skip(PrivatePostgres::is_installed())) {
    MESSAGE("SKIPPED: PostgreSQL is not installed");
}

TEST_CASE_FIXTURE(SharedLedger,
                  "property: three replicas in a flood add up exactly, and never is more stored than counted" *
                      k_needs_postgres) {
    constexpr int k_calls = 3000;
    std::array<std::unique_ptr<Replica>, 3> replicas;
    for (auto& replica : replicas) {
        replica = std::make_unique<Replica>(server, clock);
    }
    const std::vector<Life> lives{new_life("acme"), new_life("umbra"), new_life("stark"), new_life("wayne")};
    std::array<std::atomic<std::int64_t>, 4> counted{};
    std::atomic<int> running{6};
    {
        std::vector<std::jthread> threads;
        for (std::size_t who = 0; who < 6; ++who) {
            threads.emplace_back([&, who] {
                std::vector<std::shared_ptr<TenantCounters>> counters;
                for (const Life& life : lives) {
                    counters.push_back(*replicas[who % 3]->ledger->open(life.tenant, life.uid));
                }
                for (int call = 0; call < k_calls; ++call) {
                    const std::size_t tenant = (who + static_cast<std::size_t>(call)) % lives.size();
                    ++counted[tenant];
                    counters[tenant]->record({Counter::served, 1ms, 1, 2, {}});
                }
                --running;
            });
        }
        for (auto& replica : replicas) {
            threads.emplace_back([&running, &replica] {
                while (running > 0) {
                    const Result<void> flushed = replica->ledger->flush();
                    CHECK_MESSAGE(flushed, flushed.error().message << flushed.error().detail);
                }
            });
        }
        PostgresLedger reader(replicas[0]->connections.pool, "", clock);
        while (running > 0) {
            for (std::size_t i = 0; i < lives.size(); ++i) {
                const Result<LedgerSnapshot> stored = reader.read(lives[i], {}, 60s);
                REQUIRE(stored);
                CHECK(stored->stored.others == sum(stored->periods));
                CHECK(stored->stored.others.of(Counter::served) <= counted[i]);
            }
        }
    }
    for (auto& replica : replicas) {
        REQUIRE(replica->ledger->flush());
    }
    for (auto& replica : replicas) {
        CHECK(all_served(*replica) == 6 * k_calls);
        for (std::size_t i = 0; i < lives.size(); ++i) {
            CHECK(replica->seen(lives[i]) == counted[i]);
            CHECK(replica->faults(lives[i]).empty());
        }
    }
    CHECK(rows("tenant = 'acme'") == "3");
}

TEST_CASE_FIXTURE(SharedLedger,
                  "a killed replica loses no count, whether anybody asks for the tenant again" * k_needs_postgres) {
    Replica one(server, clock);
    Replica other(server, clock);
    one.serve(acme, 5);
    REQUIRE(one.ledger->flush());
    one.serve(acme, 4);  // in the slot alone
    CHECK(one.seen(acme) == 9);
    CHECK(other.seen(acme) == 5);
    one.kill();
    one.start();
    REQUIRE(one.ledger->flush());
    CHECK(other.seen(acme) == 9);
    one.serve(acme, 1);
    REQUIRE(one.ledger->flush());
    other.serve(acme, 2);
    REQUIRE(other.ledger->flush());
    CHECK(one.seen(acme) == 12);
    CHECK(one.faults(acme).empty());
}

TEST_CASE_FIXTURE(SharedLedger, "a lost volume starts at zero, and the sum stays" * k_needs_postgres) {
    Replica one(server, clock);
    one.serve(acme, 5);
    REQUIRE(one.ledger->flush());
    one.kill();
    one.lose_volume();
    one.start();
    CHECK(one.open(acme).totals() == Totals{});
    CHECK(one.seen(acme) == 5);
    one.serve(acme, 2);
    REQUIRE(one.ledger->flush());
    CHECK(one.seen(acme) == 7);
    CHECK(all_served(one) == 7);
    CHECK(one.faults(acme).empty());
}

TEST_CASE_FIXTURE(SharedLedger,
                  "a slot that is behind what is stored, as after power loss, loses nothing that comes after" *
                      k_needs_postgres) {
    Replica one(server, clock);
    one.serve(acme, 2);
    REQUIRE(one.ledger->flush());
    std::filesystem::copy_file(one.folder.path() / "stats.slots", one.folder.path() / "old");
    one.serve(acme, 3);
    REQUIRE(one.ledger->flush());
    one.kill();
    std::filesystem::rename(one.folder.path() / "old", one.folder.path() / "stats.slots");
    one.start();
    one.serve(acme, 4);
    REQUIRE(one.ledger->flush());
    CHECK(one.seen(acme) == 9);
    CHECK(all_served(one) == 9);
    CHECK(one.faults(acme).empty());
}

TEST_CASE_FIXTURE(SharedLedger,
                  "an erased life leaves nothing, and nobody's late write brings it back" * k_needs_postgres) {
    Replica one(server, clock);
    Replica other(server, clock);
    one.serve(acme, 1);
    other.serve(acme, 1);
    other.serve(umbra, 1);
    REQUIRE(one.ledger->flush());
    REQUIRE(other.ledger->flush());
    other.serve(acme, 1);
    REQUIRE(one.store->erase(acme.uid));
    REQUIRE(one.store->erase(acme.uid));
    REQUIRE(other.ledger->flush());
    CHECK(rows("true") == "1");
    CHECK(server.ask("SELECT count(*) FROM mtagent.stats_minutes") == "1");
    other.ledger->erase(acme.tenant, acme.uid);
    CHECK(all_served(one) == 1);
}

TEST_CASE_FIXTURE(SharedLedger, "thousands of changed tenants cost a few round trips" * k_needs_postgres) {
    Replica one(server, clock);
    for (const Life& life : new_lives(2000)) {
        one.serve(life, 1);
    }
    const std::int64_t before = one.connections.pool.status().calls;
    REQUIRE(one.ledger->flush());
    CHECK(one.connections.pool.status().calls - before <= 8 * 4 + 20);
    CHECK(one.ledger->health().written == 2000);
    const std::int64_t listed = one.connections.pool.status().calls;
    CHECK(all_served(one) == 2000);
    CHECK(one.connections.pool.status().calls - listed == 1);
    REQUIRE(one.ledger->flush());
    CHECK(one.connections.pool.status().calls - listed == 1);  // nothing changed: nothing is asked
}

TEST_CASE_FIXTURE(SharedLedger,
                  "a listing longer than one answer has every writer of every life once" * k_needs_postgres) {
    const std::vector<Life> lives = new_lives(2800);
    std::vector<std::unique_ptr<Replica>> replicas;
    for (int calls = 1; calls <= 3; ++calls) {
        replicas.push_back(std::make_unique<Replica>(server, clock));
        for (const Life& life : lives) {
            replicas.back()->serve(life, calls);
        }
        REQUIRE(replicas.back()->ledger->flush());
    }
    const auto all = replicas[1]->store->all();
    REQUIRE(all);
    CHECK((*all)->size() == lives.size());
    for (const Life& life : lives) {
        const StoredTotals& stored = (*all)->at(life.uid);
        REQUIRE(stored.own.of(Counter::served) == 2);
        REQUIRE(stored.others.of(Counter::served) == 4);
    }
    replicas[1]->kill();
    replicas[1]->start();  // reads its rows in the same way
    CHECK(replicas[1]->store->take_over(lives[2799], {}, {})->of(Counter::served) == 2);
}

TEST_CASE_FIXTURE(SharedLedger, "one tenant's own fault keeps nobody else's numbers back" * k_needs_postgres) {
    Replica one(server, clock);
    REQUIRE(runs("ALTER TABLE mtagent.stats ADD CONSTRAINT c CHECK (tenant <> 'acme')"));
    one.serve(acme, 1);
    one.serve(umbra, 2);
    CHECK_FALSE(one.ledger->flush());
    CHECK(one.ledger->health().failing_tenants == 1);
    CHECK_FALSE(one.ledger->health().fault);
    CHECK(all_served(one) == 2);
    REQUIRE(runs("ALTER TABLE mtagent.stats DROP CONSTRAINT c"));
    REQUIRE(one.ledger->flush());
    CHECK(all_served(one) == 3);
}
