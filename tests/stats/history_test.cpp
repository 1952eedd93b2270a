#include "stats/history.h"

#include <doctest/doctest.h>

#include <random>

#include "stats/books.h"
#include "stats/totals_kit.h"
#include "support/fake_clock.h"
#include "support/temp_folder.h"

using namespace mt;
using namespace std::chrono_literals;
using test::random_totals;
using test::served;

namespace {

std::int64_t rows(TenantFiles& files, const std::string& table) {
    std::int64_t count = 0;
    static constexpr std::array<std::string_view, 2> k_known{"", ""};
    REQUIRE(files.read("acme", {"stats", k_known}, [&](Database& database) -> Result<void> {
        Query row = database.query("SELECT count(*) FROM " + table);
        count = row.step() ? row.integer(0) : -1;
        return {};
    }));
    return count;
}

Totals sum(const std::vector<Period>& periods) {
    Totals all;
    for (const Period& period : periods) {
        all += period.totals;
    }
    return all;
}

struct Shelf {
    Shelf() : files(temp.path(), {8, true}) { REQUIRE(files.create("acme")); }

    test::TempFolder temp;
    test::FakeClock clock;
    TenantFiles files;
};

}  // namespace

TEST_CASE("the totals are the sum of the history, through years of writing and folding") {
    Shelf shelf;
    History history(shelf.files, "acme", "w");
    std::mt19937 random(7);
    Totals now;
    for (int i = 0; i < 400; ++i) {
        now += random_totals(random);
        const WallTime at = shelf.clock.wall();
        REQUIRE(history.write(now, at));
        REQUIRE(history.fold(at, {}));
        shelf.clock.advance(i % 3 == 0 ? 50h : std::chrono::hours{20} + 7min);
        const Result<LedgerSnapshot> all = history.read({}, 24h);
        REQUIRE(all);
        REQUIRE(sum(all->periods) == now);
        REQUIRE(all->stored.own == now);
    }
    CHECK(rows(shelf.files, "ledger_minutes") < 60);
    CHECK(rows(shelf.files, "ledger_hours") < 400);
    CHECK(rows(shelf.files, "ledger_months") > 3);
}

TEST_CASE("a year of every minute stays within the retention") {
    Shelf shelf;
    History history(shelf.files, "acme", "w");
    const Retention retention{2h, 48h};
    for (int minute = 1; minute <= 4 * 24 * 60; ++minute) {
        shelf.clock.advance(1min);
        if (minute % 20 == 0) {
            REQUIRE(history.write(served(minute), shelf.clock.wall()));
            REQUIRE(history.fold(shelf.clock.wall(), retention));
        }
    }
    CHECK(rows(shelf.files, "ledger_minutes") <= 3 * 3 + 1);
    CHECK(rows(shelf.files, "ledger_hours") <= 49);
    CHECK(sum(history.read({}, 60s)->periods) == served(4 * 24 * 60));
}

TEST_CASE("a new writer takes over what former ones counted, once") {
    Shelf shelf;
    REQUIRE(History(shelf.files, "acme", "first").write(served(5), shelf.clock.wall()));
    REQUIRE(History(shelf.files, "acme", "second").write(served(2), shelf.clock.wall()));
    History third(shelf.files, "acme", "third");
    CHECK(*third.adopt(served(1), shelf.clock.wall()) == served(8));
    CHECK(third.totals()->own == served(8));
    CHECK(third.totals()->others == Totals{});
    CHECK(*third.adopt(served(8), shelf.clock.wall()) == served(8));
    CHECK(sum(third.read({}, 60s)->periods) == served(8));
}

TEST_CASE("numbers of the first layout come over") {
    Shelf shelf;
    constexpr std::array<std::string_view, 1> k_first{
        "CREATE TABLE stats_totals(writer TEXT NOT NULL, counter TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY "
        "KEY(writer, counter)) STRICT, WITHOUT ROWID;"
        "CREATE TABLE stats_minutes(minute INTEGER NOT NULL, counter TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY "
        "KEY(minute, counter)) STRICT, WITHOUT ROWID;"};
    REQUIRE(shelf.files.write("acme", {"stats", k_first}, [](Database& database) -> Result<void> {
        database.execute(
            "INSERT INTO stats_totals VALUES('w', 'served', 3), ('w', 'latency_le_inf', 1), ('v', 'served', 4);"
            "INSERT INTO stats_minutes VALUES(29000000, 'served', 7), (29000000, 'latency_le_inf', 1);");
        return {};
    }));
    TenantFiles newer(shelf.temp.path(), {8, true});
    History history(newer, "acme", "w");
    Totals expected = served(3);
    expected.buckets.back() = 1;
    const Result<StoredTotals> stored = history.totals();
    REQUIRE_MESSAGE(stored.has_value(), stored.error().message);
    CHECK(history.totals()->own == expected);
    CHECK(history.totals()->others == served(4));
    expected += served(4);
    CHECK(sum(history.read({}, 60s)->periods) == expected);
}

TEST_CASE("a file is opened for totals only where it can hold some") {
    Shelf shelf;
    const auto slots = *SlotFile::open(shelf.temp.path() / "slots", shelf.clock);
    Books nobody(shelf.files, slots.get(), "absent", std::string(32, 'b'));
    CHECK_FALSE(nobody.totals(shelf.clock.wall()));
    slots->set_complete_since(shelf.clock.wall());
    CHECK(*nobody.totals(shelf.clock.wall()) == Totals{});
    CHECK_FALSE(nobody.totals(shelf.clock.wall() - 1ms));
    CHECK((*SlotFile::open_read_only(shelf.temp.path() / "slots"))->complete_since() == shelf.clock.wall());
}
