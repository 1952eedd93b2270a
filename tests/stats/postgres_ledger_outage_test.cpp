// Commits of unknown outcome, a server that goes away, one that comes back older.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <random>
#include <thread>

#include "stats/lossy_wire.h"
#include "stats/shared_ledger.h"

using namespace mt;
using namespace mt::test;
using namespace std::chrono_literals;

namespace {

// The address of a server behind a wire.
std::string through(const LossyWire& wire, const PrivatePostgres& server) {
    std::string url = server.url();
    const std::string port = ":" + std::to_string(server.port());
    return url.replace(url.find(port), port.size(), ":" + std::to_string(wire.port()));
}

}  // namespace

TEST_CASE_FIXTURE(SharedLedger,
                  "property: commits of unknown outcome count once, also for a writer that is folded meanwhile" *
                      k_needs_postgres) {
    Replica witness(server, clock);
    LossyWire wire(server.port());
    Replica victim(through(wire, server), clock);
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
            pass_a_day(witness);
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

TEST_CASE_FIXTURE(SharedLedger,
                  "a writer whose last commit nobody confirmed is folded, and comes back" * k_needs_postgres) {
    Replica witness(server, clock);
    LossyWire wire(server.port());
    Replica victim(through(wire, server), clock);
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
    pass_a_day(witness);
    CHECK(folded_writers() == "1");
    victim.serve(acme, 1);
    victim.flush_at_last();
    CHECK(victim.seen(acme) == 9);
    CHECK(witness.seen(acme) == 9);
    CHECK(victim.faults(acme).empty());
    CHECK(rows("writer = '' AND served <> 0") == "0");
}

TEST_CASE("property: a server that is killed while it is written to loses and repeats nothing" * k_needs_postgres) {
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
    FakeClock clock;
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

TEST_CASE("while the server is away counting goes on, health says it, and everything is written at its return" *
          k_needs_postgres) {
    PrivatePostgres server({"synchronous_commit = on"});
    const FakeClock clock;
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

TEST_CASE_FIXTURE(SharedLedger, "a database that went back to an older state is written again" * k_needs_postgres) {
    Replica one(server, clock);
    one.serve(acme, 1);
    one.serve(umbra, 2);
    REQUIRE(one.ledger->flush());
    one.serve(acme, 3);
    REQUIRE(one.ledger->flush());
    SUBCASE("in which the writer is unknown") {
        REQUIRE(runs("TRUNCATE mtagent.stats, mtagent.stats_minutes, mtagent.ledger_writers"));
    }
    SUBCASE("of some seconds ago") {
        REQUIRE(
            runs("UPDATE mtagent.ledger_writers SET round = round_before; DELETE FROM mtagent.stats;"
                 "DELETE FROM mtagent.stats_minutes"));
    }
    clock.advance(16s);
    REQUIRE(one.ledger->flush());
    REQUIRE(one.ledger->flush());
    CHECK(all_served(one) == 6);
    CHECK(one.seen(umbra) == 2);
    CHECK(one.faults(acme).empty());
}
