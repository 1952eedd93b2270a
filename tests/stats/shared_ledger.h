#pragma once

#include <string>

#include "stats/ledger_bed.h"
#include "support/needs.h"

namespace mt::test {

/// A ledger in PostgreSQL, empty at first, for replicas that a case makes; time goes on by its clock alone.
struct SharedLedger {
    /// Rows of totals for which an SQL condition holds, as psql prints the number.
    [[nodiscard]] std::string rows(const std::string& condition) const {
        return server.ask("SELECT count(*) FROM mtagent.stats WHERE " + condition);
    }
    [[nodiscard]] std::string folded_writers() const {
        return server.ask("SELECT count(*) FROM mtagent.ledger_writers WHERE folded");
    }
    /// Runs an UPDATE; true when it changed a row.
    [[nodiscard]] bool updates(const std::string& sql) const {
        return server.ask(sql + " RETURNING 1").starts_with("1");
    }
    /// Runs statements that print nothing; true when there was no error.
    [[nodiscard]] bool runs(const std::string& sql) const { return server.ask(sql + "; SELECT 1").ends_with("1"); }

    void observe_a_day() const {
        REQUIRE(updates("UPDATE mtagent.ledger_clock SET observed_ms = observed_ms + 86400000"));
    }
    /// Time goes on for all but the witness.
    void pass_a_day(Replica& witness) {
        REQUIRE(witness.ledger->flush());
        observe_a_day();
        for (int i = 0; i < 3; ++i) {
            clock.advance(std::chrono::seconds{61});
            REQUIRE(witness.ledger->flush());
        }
    }

    PrivatePostgres& server = fresh_ledger();
    FakeClock clock;
    const Life acme = new_life("acme");
    const Life umbra = new_life("umbra");
};

/// `count` tenants: "t0", "t1" and so on.
inline std::vector<Life> new_lives(int count) {
    std::vector<Life> lives;
    for (int i = 0; i < count; ++i) {
        lives.push_back(new_life("t" + std::to_string(i)));
    }
    return lives;
}

/// What all lives were served, as somebody without slots sees it.
inline std::int64_t all_served(Replica& replica) {
    PostgresLedger reader(replica.connections.pool, "", replica.clock);
    const auto all = reader.all();
    REQUIRE_MESSAGE(all, all.error().message);
    std::int64_t sum = 0;
    for (const auto& [uid, stored] : **all) {
        sum += live_totals(stored, nullptr).of(Counter::served);
    }
    return sum;
}

}  // namespace mt::test
