#include <atomic>
#include <latch>
#include <mutex>
#include <random>

#include "postgres/bed.h"

using mt::Code;
using mt::Error;
using mt::Result;
using mt::postgres::Parameters;
using mt::postgres::Rows;
using mt::postgres::Session;
using namespace mt::test;
using namespace std::chrono_literals;

namespace {

std::string random_bytes(std::mt19937_64& random, std::size_t length) {
    std::string bytes(length, '\0');
    for (char& byte : bytes) {
        byte = static_cast<char>(random() % 256);
    }
    return bytes;
}

}  // namespace

TEST_CASE("without PostgreSQL" * doctest::skip(PrivatePostgres::is_installed())) {
    MESSAGE("SKIPPED: PostgreSQL is not installed");
}

TEST_CASE_FIXTURE(SharedPostgres,
                  "property: every kind of value comes back as it went, prepared or not" * k_needs_postgres) {
    PoolBed bed(server);
    std::mt19937_64 random(1);
    const std::vector<std::string> texts{"", "a", "it's \"so\", {b\\}", "NULL", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"};
    for (int i = 0; i < 30; ++i) {
        const std::string bytes = random_bytes(random, random() % 600);
        const auto number = static_cast<std::int64_t>(random());
        const std::vector<std::int64_t> numbers{number, 0, INT64_MIN, INT64_MAX};
        const std::string& text = texts[static_cast<std::size_t>(i) % texts.size()];
        Parameters parameters;
        parameters.bytes(bytes).integer(number).text(text).boolean(i % 2 == 0).null().texts(texts).integers(numbers);
        const Result<Rows> rows = bed.pool.query(
            "SELECT $1::bytea, $2::bigint, $3::text, $4::boolean, $5::text, t, n "
            "FROM unnest($6::text[], $7::bigint[]) AS u(t, n)",
            parameters);
        REQUIRE(rows);
        REQUIRE(rows->size() == texts.size());
        CHECK(rows->bytes(0, 0) == bytes);
        CHECK(rows->integer(0, 1) == number);
        CHECK(rows->text(0, 2) == text);
        CHECK(rows->boolean(0, 3) == (i % 2 == 0));
        CHECK(rows->is_null(0, 4));
        for (std::size_t row = 0; row < rows->size(); ++row) {
            CHECK(rows->text(row, 5) == texts[row]);
            CHECK(rows->is_null(row, 6) == (row >= numbers.size()));
            CHECK((row >= numbers.size() || rows->integer(row, 6) == numbers[row]));
        }
    }
    CHECK(code_of(bed.pool.query("SELECT $1::text", Parameters().text(std::string("a\0b", 3)))) == Code::invalid);
    const Result<Rows> empty = bed.pool.query("SELECT unnest($1::text[])", Parameters().texts({}));
    REQUIRE(empty);
    CHECK(empty->empty());
    const Result<Rows> large = bed.pool.query("SELECT $1::bytea", Parameters().bytes(std::string(8'000'000, '\xe7')));
    REQUIRE(large);
    CHECK(large->bytes(0, 0) == std::string(8'000'000, '\xe7'));
}

TEST_CASE_FIXTURE(SharedPostgres, "reading outside of the rows, or what is no number, is empty" * k_needs_postgres) {
    PoolBed bed(server);
    const Result<Rows> rows = bed.pool.query("SELECT 'word', 7");
    REQUIRE(rows);
    CHECK(rows->integer(0, 0) == 0);
    CHECK(rows->integer(0, 1) == 7);
    CHECK(rows->text(1, 0).empty());
    CHECK(rows->text(0, 2).empty());
    CHECK(rows->text(0, -1).empty());
    CHECK(rows->is_null(5, 5));
    CHECK(rows->bytes(0, 0).empty());
    CHECK(Rows().empty());
    CHECK(Rows().text(0, 0).empty());
}

TEST_CASE_FIXTURE(SharedPostgres, "a transaction is all or nothing, and its connection goes on" * k_needs_postgres) {
    PoolBed bed(server, 1);
    const auto in_transaction = [&](const std::function<Result<void>(Session&)>& work) {
        return bed.pool.with([&](Session& session) { return session.transaction([&] { return work(session); }); });
    };
    REQUIRE(in_transaction([](Session& session) { return session.script("CREATE TABLE tx(n int PRIMARY KEY)"); }));
    const auto count = [&] { return bed.pool.query("SELECT count(*) FROM tx")->integer(0, 0); };
    CHECK(code_of(in_transaction([](Session& session) -> Result<void> {
              REQUIRE(session.query("INSERT INTO tx VALUES(1)"));
              return Error{Code::conflict, "no"};
          })) == Code::conflict);
    CHECK(count() == 0);
    // A failed statement that `work` does not care about takes the others with it, and that is told.
    CHECK(code_of(in_transaction([](Session& session) -> Result<void> {
              REQUIRE(session.query("INSERT INTO tx VALUES(1)"));
              CHECK(code_of(session.query("INSERT INTO tx VALUES(1)")) == Code::already_exists);
              return {};
          })) == Code::failed);
    CHECK(count() == 0);
    // A transaction that `work` leaves open by hand is not lent to the next one.
    CHECK(bed.pool.with([](Session& session) { return session.script("BEGIN; INSERT INTO tx VALUES(5)"); }));
    CHECK(count() == 0);
    const Result<Rows> inserted = bed.pool.query("INSERT INTO tx SELECT generate_series(1, 7)");
    REQUIRE(inserted);
    CHECK(inserted->affected() == 7);
    REQUIRE(bed.pool.query("DROP TABLE tx"));
}

TEST_CASE_FIXTURE(SharedPostgres,
                  "errors of statements have their codes, and the server counts as up" * k_needs_postgres) {
    PoolBed bed(server, 2);
    REQUIRE(bed.pool.with([](Session& session) {
        return session.script("CREATE TABLE err(n int PRIMARY KEY CHECK(n < 100)); INSERT INTO err VALUES(1)");
    }));
    const auto code = [&](const char* sql) { return code_of(bed.pool.query(sql)); };
    CHECK(code("INSERT INTO err VALUES(1)") == Code::already_exists);
    CHECK(code("INSERT INTO err VALUES(100)") == Code::conflict);
    CHECK(code("SELECT * FROM absent") == Code::not_found);
    CHECK(code("SELECT * FROM absent.absent") == Code::not_found);
    CHECK(code("SELEC") == Code::failed);
    CHECK(code("COPY err TO STDOUT") == Code::unavailable);
    const Result<Rows> divided = bed.pool.query("SELECT 1 / $1", Parameters().integer(0));
    REQUIRE_FALSE(divided);
    CHECK(divided.error().code == Code::failed);
    CHECK(divided.error().detail == "SQLSTATE 22012: division by zero");
    CHECK(bed.pool.status().up);
    CHECK(bed.pool.status().failures == 0);
    // Statements that were prepared outlive a change of their tables.
    for (int i = 0; i < 3; ++i) {
        REQUIRE(bed.pool.query("SELECT * FROM err"));
    }
    REQUIRE(bed.pool.query("ALTER TABLE err ADD COLUMN m int"));
    for (int i = 0; i < 4; ++i) {
        REQUIRE(bed.pool.query("SELECT * FROM err"));
    }
    REQUIRE(bed.pool.query("DROP TABLE err"));
}

TEST_CASE_FIXTURE(SharedPostgres, "prepared statements that a pooler has lost are done without" * k_needs_postgres) {
    const auto ask = [](Session& session) { return session.query("SELECT $1::bigint", Parameters().integer(7)); };
    const auto prepare = [&](Session& session) {
        for (int i = 0; i < 3; ++i) {
            REQUIRE(ask(session));
        }
        CHECK(session.query("SELECT count(*) FROM pg_prepared_statements")->integer(0, 0) == 1);
        REQUIRE(session.script("DEALLOCATE ALL"));
    };
    PoolBed bed(server, 1);
    REQUIRE(bed.pool.with([&](Session& session) -> Result<void> {
        prepare(session);
        for (int i = 0; i < 3; ++i) {
            const Result<Rows> rows = ask(session);
            REQUIRE(rows);
            CHECK(rows->integer(0, 0) == 7);
        }
        CHECK(session.query("SELECT count(*) FROM pg_prepared_statements")->integer(0, 0) == 0);
        return {};
    }));
    PoolBed other(server, 1);  // within a transaction, which is lost: it may be tried again
    REQUIRE(other.pool.with([&](Session& session) -> Result<void> {
        prepare(session);
        CHECK(code_of(session.transaction([&]() -> Result<void> {
                  const Result<Rows> rows = ask(session);
                  return rows ? Result<void>() : Result<void>(rows.error());
              })) == Code::busy);
        CHECK(ask(session));
        return {};
    }));
    CHECK(other.pool.status().up);
}

TEST_CASE_FIXTURE(SharedPostgres,
                  "a statement that takes too long is unavailable, and the rest goes on" * k_needs_postgres) {
    auto options = PoolBed::options_of(server, 1);
    options.statement_timeout = 200ms;
    PoolBed bed(options);
    const auto start = std::chrono::steady_clock::now();
    const Result<Rows> rows = bed.pool.query("SELECT pg_sleep(10)");
    CHECK(since(start) < 2s);
    REQUIRE_FALSE(rows);
    CHECK(rows.error().code == Code::unavailable);
    CHECK(rows.error().retry_after);
    CHECK(bed.pool.status().up);
    CHECK(bed.pool.query("SELECT 1"));
}

TEST_CASE_FIXTURE(SharedPostgres, "a deadlock is busy for one of the two" * k_needs_postgres) {
    PoolBed bed(server);
    REQUIRE(server.ask("ALTER ROLE mtagent SET deadlock_timeout = '50ms'").empty());
    REQUIRE(bed.pool.query("CREATE TABLE dead(n int PRIMARY KEY, v int)"));
    REQUIRE(bed.pool.query("INSERT INTO dead VALUES(1, 0), (2, 0)"));
    std::latch both(2);
    std::array<std::optional<Code>, 2> codes;
    const auto work = [&](int first) {
        const auto lock = [](Session& session, int n) {
            return session.query("UPDATE dead SET v = v + 1 WHERE n = $1", Parameters().integer(n));
        };
        codes[static_cast<std::size_t>(first - 1)] = code_of(bed.pool.with([&](Session& session) {
            return session.transaction([&]() -> Result<void> {
                const Result<Rows> own = lock(session, first);
                both.arrive_and_wait();
                const Result<Rows> other = lock(session, 3 - first);
                return own && other ? Result<void>() : Result<void>((other ? own : other).error());
            });
        }));
    };
    {
        const std::jthread a([&] { work(1); });
        const std::jthread b([&] { work(2); });
    }
    const bool one_of_two = (codes[0] == Code::busy && !codes[1]) || (codes[1] == Code::busy && !codes[0]);
    CHECK(one_of_two);
    CHECK(bed.pool.status().up);
    REQUIRE(bed.pool.query("DROP TABLE dead"));
}

TEST_CASE_FIXTURE(SharedPostgres, "many threads share few connections, each alone with its own" * k_needs_postgres) {
    PoolBed bed(server, 4);
    std::atomic<int> failed{0};
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 32; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < 20; ++i) {
                    const Result<void> done = bed.pool.with([&](Session& session) -> Result<void> {
                        const int now = ++inside;
                        int seen = most.load();
                        while (seen < now && !most.compare_exchange_weak(seen, now)) {
                        }
                        const Result<Rows> rows = session.query("SELECT $1::bigint", Parameters().integer(t));
                        --inside;
                        return rows && rows->integer(0, 0) == t ? Result<void>() : Result<void>(Error{});
                    });
                    failed += done ? 0 : 1;
                }
            });
        }
    }
    CHECK(failed == 0);
    CHECK(most <= 4);
    CHECK(server.ask("SELECT count(*) <= 4 FROM pg_stat_activity WHERE usename = 'mtagent'") == "t");
}

TEST_CASE_FIXTURE(SharedPostgres, "whoever waits too long for a connection is told to come again" * k_needs_postgres) {
    auto options = PoolBed::options_of(server, 1);
    options.wait_timeout = 50ms;
    PoolBed bed(options);
    REQUIRE(bed.pool.with([&](Session&) -> Result<void> {
        const Result<Rows> rows = bed.pool.query("SELECT 1");
        REQUIRE_FALSE(rows);
        CHECK(rows.error().code == Code::busy);
        return {};
    }));
    CHECK(bed.pool.query("SELECT 1"));
}

TEST_CASE("a malformed url is a mistake of the configuration, told without its text") {
    mt::postgres::PoolOptions options;
    options.url = "postgres://user:hunter2@[::1/database";
    PoolBed bed(options);
    const Result<void> done = bed.pool.ping();
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Code::config);
    CHECK(done.error().message.find("hunter2") == std::string::npos);
}
