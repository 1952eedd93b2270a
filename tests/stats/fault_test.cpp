#include <doctest/doctest.h>

#include "base/ids.h"
#include "stats/books.h"
#include "stats/history.h"
#include "stats/ledger.h"
#include "support/fake_clock.h"
#include "support/fault_vfs.h"
#include "support/temp_folder.h"

using namespace mt;
using namespace std::chrono_literals;

namespace {

// Two tenants whose files lie on a disk of which a part can fail.
struct Office {
    explicit Office(const std::string& part) : disk(part), files(temp.path(), {8, true}), log(LogLevel::off) {
        REQUIRE(files.create("acme"));
        REQUIRE(files.create("umbra"));
        slots = *SlotFile::open(temp.path() / "stats.slots", clock);
        ledger = std::make_unique<Ledger>(*slots, files, clock, log);
        acme = *ledger->open("acme", acme_uid);
        umbra = *ledger->open("umbra", umbra_uid);
    }

    void serve(TenantCounters& counters, int calls) {
        for (int i = 0; i < calls; ++i) {
            counters.record({Counter::served, 1ms, 1, 2, {}});
        }
    }

    [[nodiscard]] std::int64_t written(const std::string& tenant) {
        return History(files, tenant, slots->writer()).totals()->own.of(Counter::served);
    }

    test::TempFolder temp;
    test::FakeClock clock;
    test::FaultVfs disk;
    TenantFiles files;
    Log log;
    std::string acme_uid = random_hex(16);
    std::string umbra_uid = random_hex(16);
    std::unique_ptr<SlotFile> slots;
    std::unique_ptr<Ledger> ledger;
    std::shared_ptr<TenantCounters> acme;
    std::shared_ptr<TenantCounters> umbra;
};

}  // namespace

TEST_CASE("a disk that is full or broken loses no count, shows, and heals") {
    for (const int code : {SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC}) {
        CAPTURE(code);
        Office office(".db");
        office.serve(*office.acme, 3);
        REQUIRE(office.ledger->flush());
        office.disk.fail(code);
        office.serve(*office.acme, 4);
        office.serve(*office.umbra, 5);
        for (int second = 0; second < 3; ++second) {
            CHECK_FALSE(office.ledger->flush());
            const LedgerHealth health = office.ledger->health();
            CHECK(health.failing_tenants == 2);
            REQUIRE(health.fault);
            CHECK(health.fault->code == (code == SQLITE_FULL ? Code::storage_full : Code::unavailable));
        }
        CHECK(office.disk.failures() > 0);
        CHECK(office.acme->totals().of(Counter::served) == 7);  // serving goes on
        office.disk.fail(SQLITE_OK);
        CHECK(office.ledger->flush());
        CHECK_FALSE(office.ledger->health().fault);
        CHECK(office.ledger->health().failing_tenants == 0);
        CHECK(office.written("acme") == 7);
        CHECK(office.written("umbra") == 5);
        CHECK(Books(office.files, office.slots.get(), "acme", office.acme_uid).verify()->faults.empty());
    }
}

TEST_CASE("a broken file is one tenant's own fault: the others are written, and readiness stays") {
    Office office("acme.db");
    office.disk.fail(SQLITE_IOERR_WRITE);
    office.serve(*office.acme, 4);
    office.serve(*office.umbra, 5);
    CHECK_FALSE(office.ledger->flush());
    CHECK(office.ledger->health().failing_tenants == 1);
    CHECK_FALSE(office.ledger->health().fault);
    CHECK(office.written("umbra") == 5);
    office.disk.fail(SQLITE_OK);
    CHECK(office.ledger->flush());
    CHECK(office.written("acme") == 4);
}

TEST_CASE("property: a fault at any point of a write counts nothing twice and nothing never") {
    for (int writes = 0; writes < 40; ++writes) {
        for (const int code : {SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC}) {
            CAPTURE(writes);
            CAPTURE(code);
            Office office("acme.db");
            office.serve(*office.acme, 3);
            REQUIRE(office.ledger->flush());
            office.disk.fail_after(writes, code);
            for (int round = 0; round < 3; ++round) {
                office.serve(*office.acme, 1);
                const Result<void> outcome = office.ledger->flush();
                office.clock.advance(61min);  // another hour: this flush folds, too
                static_cast<void>(outcome);
            }
            office.disk.fail(SQLITE_OK);
            REQUIRE(office.ledger->flush());
            CHECK(office.written("acme") == 6);
            CHECK(Books(office.files, office.slots.get(), "acme", office.acme_uid).verify()->faults.empty());
        }
    }
}
