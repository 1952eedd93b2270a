#include "stats/postgres_ledger.h"

#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <latch>
#include <random>
#include <thread>

#include "stats/ledger_bed.h"
#include "stats/lossy_wire.h"

using namespace mt;
using namespace std::chrono_literals;
using test::LossyWire;
using test::new_life;
using test::PrivatePostgres;
using test::Replica;
using test::served;

namespace {

constexpr std::string_view k_a_day = "UPDATE mtagent.ledger_clock SET observed_ms = observed_ms + 86400000 RETURNING 1";
constexpr std::string_view k_writers = "SELECT count(*) FROM mtagent.ledger_writers WHERE folded";

std::string count_rows(const PrivatePostgres& server, const std::string& where) {
    return server.ask("SELECT count(*) FROM mtagent.stats WHERE " + where);
}

// The sum over all lives, as somebody without slots sees it.
std::int64_t all_served(Replica& replica) {
    PostgresLedger reader(replica.connections.pool, "", replica.clock);
    const auto all = reader.all();
    REQUIRE_MESSAGE(all, all.error().message);
    std::int64_t sum = 0;
    for (const auto& [uid, stored] : **all) {
        sum += live_totals(stored, nullptr).of(Counter::served);
    }
    return sum;
}

// The address of a server behind a wire.
std::string through(const LossyWire& wire, const PrivatePostgres& server) {
    std::string url = server.url();
    const std::string port = ":" + std::to_string(server.port());
    return url.replace(url.find(port), port.size(), ":" + std::to_string(wire.port()));
}

// Time goes on for the others.
void pass_a_day(const PrivatePostgres& server, Replica& witness, test::FakeClock& clock) {
    REQUIRE(witness.ledger->flush());
    REQUIRE(server.ask(std::string(k_a_day)).starts_with("1"));
    for (int i = 0; i < 3; ++i) {
        clock.advance(61s);
        REQUIRE(witness.ledger->flush());
    }
}

}  // namespace

TEST_CASE("property: three replicas in a flood add up exactly, and never is more stored than counted") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    constexpr int k_calls = 3000;
    const test::FakeClock clock;
    std::array<std::unique_ptr<Replica>, 3> replicas;
    for (auto& replica : replicas) {
        replica = std::make_unique<Replica>(*server, clock);
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
                CHECK(stored->stored.others == test::sum(stored->periods));
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
    CHECK(count_rows(*server, "tenant = 'acme'") == "3");
}

TEST_CASE("a killed replica loses no count, whether anybody asks for the tenant again") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    const test::FakeClock clock;
    Replica one(*server, clock);
    Replica other(*server, clock);
    const Life acme = new_life("acme");
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

TEST_CASE("a lost volume starts at zero, and the sum stays") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    const test::FakeClock clock;
    Replica one(*server, clock);
    const Life acme = new_life("acme");
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

TEST_CASE("a slot that is behind what is stored, as after power loss, loses nothing that comes after") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    const test::FakeClock clock;
    Replica one(*server, clock);
    const Life acme = new_life("acme");
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

TEST_CASE("silent writers are folded, and nobody's numbers change") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    test::FakeClock clock;
    Replica witness(*server, clock);
    Replica gone(*server, clock);
    Replica also_gone(*server, clock);
    const Life acme = new_life("acme");
    const Life umbra = new_life("umbra");
    gone.serve(acme, 5);
    gone.serve(umbra, 2);
    also_gone.serve(acme, 3);
    witness.serve(acme, 1);
    REQUIRE(gone.ledger->flush());
    REQUIRE(also_gone.ledger->flush());
    gone.kill();
    also_gone.kill();
    pass_a_day(*server, witness, clock);
    CHECK(server->ask(std::string(k_writers)) == "2");
    CHECK(count_rows(*server, "writer = ''") == "2");
    CHECK(count_rows(*server, "uid = '" + acme.uid + "'") == "2");
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

TEST_CASE("a slot file whose writer was folded adds nothing to what a command sees") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    test::FakeClock clock;
    Replica witness(*server, clock);
    Replica gone(*server, clock);
    const Life acme = new_life("acme");
    gone.serve(acme, 5);
    REQUIRE(gone.ledger->flush());
    gone.kill();
    pass_a_day(*server, witness, clock);
    const auto slots = *SlotFile::open_read_only(gone.folder.path() / "stats.slots");
    PostgresLedger store(witness.connections.pool, slots->writer(), clock);
    Books books(store, slots.get(), acme);
    CHECK(*books.totals({}) == witness.store->totals(acme)->others);
    CHECK(books.totals({})->of(Counter::served) == 5);
    CHECK(books.counted_in({}, clock.wall())->of(Counter::served) == 5);
    CHECK(books.verify()->faults.empty());
    CHECK(live_totals((**store.all()).at(acme.uid), slots->find(acme.uid)).of(Counter::served) == 5);
}

TEST_CASE("a replica that was cut off until it was folded goes on where it was") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    test::FakeClock clock;
    Replica witness(*server, clock);
    Replica cut_off(*server, clock);
    std::vector<Life> lives;
    for (int i = 0; i < 600; ++i) {
        lives.push_back(new_life("t" + std::to_string(i)));
        cut_off.serve(lives.back(), 3);
    }
    witness.serve(lives[0], 1);
    REQUIRE(cut_off.ledger->flush());
    cut_off.serve(lives[0], 2);  // counted, not written
    pass_a_day(*server, witness, clock);
    CHECK(count_rows(*server, "writer = ''") == "600");
    CHECK(witness.seen(lives[0]) == 4);
    cut_off.serve(lives[1], 4);
    REQUIRE(cut_off.ledger->flush());
    CHECK(server->ask(std::string(k_writers)) == "0");
    CHECK(count_rows(*server, "writer = '' AND served <> 0") == "0");
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

TEST_CASE("nobody was silent while the database was away") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    test::FakeClock clock;
    Replica one(*server, clock);
    Replica other(*server, clock);
    one.serve(new_life("acme"), 1);
    REQUIRE(one.ledger->flush());
    // The last beat of anybody was days ago.
    REQUIRE(server->ask("UPDATE mtagent.ledger_clock SET at = at - interval '3 days' RETURNING 1").starts_with("1"));
    for (int i = 0; i < 5; ++i) {
        clock.advance(61s);
        REQUIRE(other.ledger->flush());
    }
    CHECK(server->ask(std::string(k_writers)) == "0");
}

TEST_CASE("racing folds fold each row once") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    test::FakeClock clock;
    std::vector<Life> lives;
    for (int i = 0; i < 300; ++i) {
        lives.push_back(new_life("t" + std::to_string(i)));
    }
    std::vector<std::unique_ptr<Replica>> replicas;
    for (int i = 0; i < 7; ++i) {
        replicas.push_back(std::make_unique<Replica>(*server, clock));
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
    REQUIRE(server->ask(std::string(k_a_day)).starts_with("1"));
    for (std::size_t i = 0; i < 3; ++i) {
        clock.advance(16s);
        const std::string alive = server->ask(
            "UPDATE mtagent.ledger_writers SET seen_ms = seen_ms + 86400000"
            " WHERE writer = '" +
            replicas[i]->slots->writer() + "' RETURNING 1");
        REQUIRE(alive.starts_with("1"));
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
    CHECK(server->ask(std::string(k_writers)) == "4");
    CHECK(count_rows(*server, "writer = '' AND served = 4") == "300");
    CHECK(count_rows(*server, "true") == "1200");
    CHECK(all_served(*replicas[0]) == 7 * 300 + 3);
    CHECK(replicas[1]->faults(lives[0]).empty());
}

TEST_CASE("property: commits of unknown outcome count once, also for a writer that is folded meanwhile") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    test::FakeClock clock;
    Replica witness(*server, clock);
    LossyWire wire(server->port());
    Replica victim(through(wire, *server), clock);
    std::mt19937 random(5);
    const std::vector<Life> lives{new_life("acme"), new_life("umbra"), new_life("stark")};
    std::array<std::int64_t, 3> counted{};
    int folds = 0;
    for (int round = 0; round < 60; ++round) {
        for (int i = 0; i < 2; ++i) {
            const std::size_t tenant = random() % lives.size();
            victim.serve(lives[tenant], 1);
            ++counted[tenant];
        }
        const std::array modes{LossyWire::Mode::whole, LossyWire::Mode::lose_request, LossyWire::Mode::lose_reply};
        wire.set(modes[random() % modes.size()]);
        const Result<void> flushed = victim.ledger->flush();
        static_cast<void>(flushed);  // as it may be
        wire.set(LossyWire::Mode::whole);
        if (random() % 3 == 0) {
            pass_a_day(*server, witness, clock);
            ++folds;
        }
        if (random() % 2 == 0) {
            victim.flush_at_last();
            for (std::size_t i = 0; i < lives.size(); ++i) {
                REQUIRE(witness.seen(lives[i]) == counted[i]);
                REQUIRE(victim.seen(lives[i]) == counted[i]);
                REQUIRE(victim.faults(lives[i]).empty());
            }
        }
    }
    CHECK(wire.broken() > 20);
    CHECK(folds > 5);
}

TEST_CASE("a writer whose last commit nobody confirmed is folded, and comes back") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    test::FakeClock clock;
    Replica witness(*server, clock);
    LossyWire wire(server->port());
    Replica victim(through(wire, *server), clock);
    const Life acme = new_life("acme");
    victim.serve(acme, 5);
    REQUIRE(victim.ledger->flush());
    victim.serve(acme, 3);
    SUBCASE("it was stored") {
        wire.set(LossyWire::Mode::lose_reply);
    }
    SUBCASE("it was not") {
        wire.set(LossyWire::Mode::lose_request);
    }
    CHECK_FALSE(victim.ledger->flush());
    REQUIRE(wire.broken() == 1);
    wire.set(LossyWire::Mode::whole);
    pass_a_day(*server, witness, clock);
    CHECK(server->ask(std::string(k_writers)) == "1");
    victim.serve(acme, 1);
    victim.flush_at_last();
    CHECK(victim.seen(acme) == 9);
    CHECK(witness.seen(acme) == 9);
    CHECK(victim.faults(acme).empty());
    CHECK(count_rows(*server, "writer = '' AND served <> 0") == "0");
}

TEST_CASE("property: a server that is killed while it is written to loses and repeats nothing") {
    if (!PrivatePostgres::is_installed()) {
        MESSAGE("SKIPPED: PostgreSQL is not installed");
        return;
    }
    // Without it a server that is killed forgets its last commits, as a standby does that takes over.
    std::string commit;
    SUBCASE("and keeps its commits") {
        commit = "on";
    }
    SUBCASE("and forgets some commits") {
        commit = "off";
    }
    const std::vector<std::string> settings{"synchronous_commit = " + commit};
    PrivatePostgres server(settings);
    test::FakeClock clock;
    Replica one(server, clock);
    Replica other(server, clock);
    REQUIRE(server.ask("CHECKPOINT; SELECT 1").ends_with("1"));
    const Life acme = new_life("acme");
    std::atomic<bool> ends{false};
    std::atomic<std::int64_t> counted{0};
    {
        std::vector<std::jthread> threads;
        for (Replica* replica : {&one, &other}) {
            threads.emplace_back([&, replica] {
                const std::shared_ptr<TenantCounters> counters = *replica->ledger->open(acme.tenant, acme.uid);
                while (!ends) {
                    for (int i = 0; i < 10; ++i) {
                        counters->record({Counter::served, 1ms, 1, 2, {}});
                        ++counted;
                    }
                    const Result<void> flushed = replica->ledger->flush();
                    static_cast<void>(flushed);  // as it may be
                }
            });
        }
        for (int i = 0; i < 5; ++i) {
            const std::int64_t before = counted;
            while (counted < before + 400) {
                std::this_thread::yield();
            }
            server.kill();
            server.start();
        }
        ends = true;
    }
    for (int i = 0; i < 2; ++i) {  // the next beat tells what is missing
        one.flush_at_last();
        other.flush_at_last();
        clock.advance(16s);
    }
    one.flush_at_last();
    other.flush_at_last();
    CHECK_FALSE(one.ledger->health().fault);
    CHECK(one.seen(acme) == counted);
    CHECK(other.seen(acme) == counted);
    CHECK(one.faults(acme).empty());
    CHECK(other.faults(acme).empty());
}

TEST_CASE("while the server is away counting goes on, health says it, and everything is written at its return") {
    if (!PrivatePostgres::is_installed()) {
        MESSAGE("SKIPPED: PostgreSQL is not installed");
        return;
    }
    PrivatePostgres server({"synchronous_commit = on"});
    const test::FakeClock clock;
    Replica one(server, clock);
    const Life acme = new_life("acme");
    one.serve(acme, 1);
    REQUIRE(one.ledger->flush());
    server.kill();
    for (int i = 0; i < 3; ++i) {
        one.serve(acme, 1);
        one.serve(new_life("t" + std::to_string(i)), 1);  // also tenants that nobody has asked before
        CHECK_FALSE(one.ledger->flush());
        REQUIRE(one.ledger->health().fault);
        CHECK(one.ledger->health().fault->code == Code::unavailable);
        CHECK(one.ledger->health().failing_tenants == i + 2);
    }
    server.start();
    const std::int64_t began_ns = one.connections.clock.boot_ns();
    one.flush_at_last();
    CHECK(one.connections.clock.boot_ns() - began_ns < 5'000'000'000);
    CHECK_FALSE(one.ledger->health().fault);
    CHECK(one.ledger->health().failing_tenants == 0);
    CHECK(all_served(one) == 7);
}

TEST_CASE("a database that went back to an older state is written again") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    test::FakeClock clock;
    Replica one(*server, clock);
    const Life acme = new_life("acme");
    const Life umbra = new_life("umbra");
    one.serve(acme, 1);
    one.serve(umbra, 2);
    REQUIRE(one.ledger->flush());
    one.serve(acme, 3);
    REQUIRE(one.ledger->flush());
    SUBCASE("in which the writer is unknown") {
        REQUIRE(server->ask("TRUNCATE mtagent.stats, mtagent.stats_minutes, mtagent.ledger_writers; SELECT 1")
                    .ends_with("1"));
    }
    SUBCASE("of some seconds ago") {
        REQUIRE(server
                    ->ask("UPDATE mtagent.ledger_writers SET round = round_before; DELETE FROM mtagent.stats;"
                          "DELETE FROM mtagent.stats_minutes; SELECT 1")
                    .ends_with("1"));
    }
    clock.advance(16s);
    REQUIRE(one.ledger->flush());
    REQUIRE(one.ledger->flush());
    CHECK(all_served(one) == 6);
    CHECK(one.seen(umbra) == 2);
    CHECK(one.faults(acme).empty());
}

TEST_CASE("an erased life leaves nothing, and nobody's late write brings it back") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    test::FakeClock clock;
    Replica one(*server, clock);
    Replica other(*server, clock);
    const Life acme = new_life("acme");
    const Life umbra = new_life("umbra");
    one.serve(acme, 1);
    other.serve(acme, 1);
    other.serve(umbra, 1);
    REQUIRE(one.ledger->flush());
    REQUIRE(other.ledger->flush());
    other.serve(acme, 1);
    REQUIRE(one.store->erase(acme.uid));
    REQUIRE(one.store->erase(acme.uid));
    REQUIRE(other.ledger->flush());
    CHECK(count_rows(*server, "true") == "1");
    CHECK(server->ask("SELECT count(*) FROM mtagent.stats_minutes") == "1");
    other.ledger->erase(acme.tenant, acme.uid);
    CHECK(all_served(one) == 1);
}

TEST_CASE("thousands of changed tenants cost a few round trips") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    const test::FakeClock clock;
    Replica one(*server, clock);
    std::vector<Life> lives;
    for (int i = 0; i < 2000; ++i) {
        lives.push_back(new_life("t" + std::to_string(i)));
        one.serve(lives.back(), 1);
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

TEST_CASE("a listing longer than one answer has every writer of every life once") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    const test::FakeClock clock;
    std::vector<Life> lives;
    for (int i = 0; i < 2800; ++i) {
        lives.push_back(new_life("t" + std::to_string(i)));
    }
    std::vector<std::unique_ptr<Replica>> replicas;
    for (int calls = 1; calls <= 3; ++calls) {
        replicas.push_back(std::make_unique<Replica>(*server, clock));
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

TEST_CASE("one tenant's own fault keeps nobody else's numbers back") {
    const PrivatePostgres* server = test::fresh_ledger();
    if (server == nullptr) {
        return;
    }
    const test::FakeClock clock;
    Replica one(*server, clock);
    const Life acme = new_life("acme");
    const Life umbra = new_life("umbra");
    REQUIRE(
        server->ask("ALTER TABLE mtagent.stats ADD CONSTRAINT c CHECK (tenant <> 'acme'); SELECT 1").ends_with("1"));
    one.serve(acme, 1);
    one.serve(umbra, 2);
    CHECK_FALSE(one.ledger->flush());
    CHECK(one.ledger->health().failing_tenants == 1);
    CHECK_FALSE(one.ledger->health().fault);
    CHECK(all_served(one) == 2);
    REQUIRE(server->ask("ALTER TABLE mtagent.stats DROP CONSTRAINT c; SELECT 1").ends_with("1"));
    REQUIRE(one.ledger->flush());
    CHECK(all_served(one) == 3);
}
