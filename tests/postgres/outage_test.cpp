#include <atomic>

#include "postgres/bed.h"

using mt::Code;
using mt::Result;
using mt::postgres::Rows;
using mt::postgres::Session;
using namespace mt::test;
using namespace std::chrono_literals;

namespace {

bool works(PoolBed& bed) {
    return bed.pool.query("SELECT 1").has_value();
}

}  // namespace

TEST_CASE_FIXTURE(OwnPostgres,
                  "killed and started again: refused at once meanwhile, and back within 5 s" * k_needs_postgres) {
    PoolBed bed(server);
    REQUIRE(works(bed));
    server.kill();
    CHECK(code_of(bed.pool.query("SELECT 1")) == Code::unavailable);
    CHECK_FALSE(bed.pool.status().up);
    CHECK(bed.pool.status().fault.find("refused") != std::string::npos);
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 200; ++i) {
        const Result<Rows> rows = bed.pool.query("SELECT 1");
        REQUIRE_FALSE(rows);
        REQUIRE(rows.error().code == Code::unavailable);
        REQUIRE(rows.error().retry_after);
    }
    CHECK(since(start) < 500ms);
    server.start();
    CHECK(comes_true([&] { return works(bed); }, 5s));
    CHECK(bed.pool.status().up);
    CHECK(bed.pool.status().outages == 1);
}

TEST_CASE_FIXTURE(OwnPostgres, "a server that was restarted while nobody asked is no outage" * k_needs_postgres) {
    PoolBed bed(server);
    REQUIRE(works(bed));
    server.kill();
    server.start();
    CHECK(works(bed));
    CHECK(bed.pool.status().failures == 0);
}

TEST_CASE_FIXTURE(OwnPostgres, "a frozen server: bounded, then refused at once, and back within 5 s of its thaw" *
                                   k_needs_postgres) {
    options.statement_timeout = 500ms;
    options.connect_timeout = 500ms;
    PoolBed bed(options);
    REQUIRE(works(bed));
    server.freeze();
    {
        std::atomic<int> others{0};
        std::vector<std::jthread> threads;
        for (int t = 0; t < 16; ++t) {
            threads.emplace_back([&] {
                const auto start = std::chrono::steady_clock::now();
                const bool bounded = code_of(bed.pool.query("SELECT 1")) == Code::unavailable && since(start) < 2s;
                others += bounded ? 0 : 1;
            });
        }
        threads.clear();
        CHECK(others == 0);
    }
    CHECK_FALSE(bed.pool.status().up);
    CHECK_FALSE(works(bed));  // it may be the one that tries; the next one is not
    const auto start = std::chrono::steady_clock::now();
    CHECK(code_of(bed.pool.query("SELECT 1")) == Code::unavailable);
    CHECK(since(start) < 100ms);
    server.thaw();
    CHECK(comes_true([&] { return works(bed); }, 5s));
}

TEST_CASE_FIXTURE(OwnPostgres, "an answer that does not come is an outage at once, before anybody tries to connect" *
                                   k_needs_postgres) {
    options.statement_timeout = 200ms;
    PoolBed bed(options);
    REQUIRE(works(bed));
    server.freeze();
    CHECK_FALSE(works(bed));
    CHECK_FALSE(bed.pool.status().up);
    CHECK(bed.pool.status().fault.find("does not answer") != std::string::npos);
}

TEST_CASE_FIXTURE(OwnPostgres,
                  "connections that were ended at rest are not the next caller's trouble" * k_needs_postgres) {
    PoolBed bed(server, 3);
    for (int i = 0; i < 20; ++i) {
        REQUIRE(bed.pool.with([&](Session&) { return bed.pool.with([&](Session&) { return bed.pool.ping(); }); }));
        CHECK(server.ask("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
                         "WHERE usename = 'mtagent'") == "3");
        CHECK(works(bed));
    }
    CHECK(bed.pool.status().failures == 0);
}

TEST_CASE_FIXTURE(OwnPostgres, "a connection that is ended at work is an error of that call alone" * k_needs_postgres) {
    PoolBed bed(server, 2);
    const Result<void> done = bed.pool.with([&](Session& session) -> Result<void> {
        REQUIRE(session.query("SELECT 1"));
        REQUIRE(server.ask("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'mtagent'") ==
                "t");
        CHECK(code_of(session.query("SELECT 1")) == Code::unavailable);
        return session.script("SELECT 1");
    });
    CHECK(code_of(done) == Code::unavailable);
    CHECK(works(bed));
    CHECK(bed.pool.status().outages == 0);
}

TEST_CASE("too many connections: those that are there do" * k_needs_postgres) {
    PrivatePostgres server({"max_connections = 5", "superuser_reserved_connections = 2", "max_wal_senders = 0"});
    PoolBed bed(server, 8);
    std::atomic<int> failed{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 8; ++t) {
            threads.emplace_back([&] {
                for (int i = 0; i < 50; ++i) {
                    failed += works(bed) ? 0 : 1;
                }
            });
        }
    }
    CHECK(failed == 0);
    CHECK(bed.pool.status().outages == 0);
    // Nothing is left for a second pool, and it says why.
    REQUIRE(bed.pool.with([&](Session&) {
        return bed.pool.with([&](Session&) {
            return bed.pool.with([&](Session&) -> Result<void> {
                PoolBed other(server);
                CHECK(code_of(other.pool.query("SELECT 1")) == Code::unavailable);
                CHECK(other.pool.status().fault.find("53300") != std::string::npos);
                return {};
            });
        });
    }));
}

TEST_CASE_FIXTURE(OwnPostgres,
                  "a server that turned read-only is unavailable until it takes writes again" * k_needs_postgres) {
    PoolBed bed(server);
    REQUIRE(bed.pool.query("CREATE TABLE t(n int)"));
    REQUIRE(server.ask("ALTER ROLE mtagent SET default_transaction_read_only = on").empty());
    REQUIRE(bed.pool.query("SET default_transaction_read_only = on"));
    const auto write = [&] { return bed.pool.query("INSERT INTO t VALUES(1)"); };
    CHECK(code_of(write()) == Code::unavailable);
    CHECK_FALSE(bed.pool.status().up);
    CHECK(comes_true([&] { return !works(bed) && bed.pool.status().fault.find("is read-only") != std::string::npos; },
                     5s));
    CHECK_FALSE(bed.pool.status().up);
    REQUIRE(server.ask("ALTER ROLE mtagent RESET default_transaction_read_only").empty());
    CHECK(comes_true([&] { return write().has_value(); }, 5s));
    CHECK(bed.pool.status().outages == 1);
}

TEST_CASE_FIXTURE(OwnPostgres, "of several hosts the one that takes writes is found, though another does not answer" *
                                   k_needs_postgres) {
    PrivatePostgres frozen;
    options.connect_timeout = 300ms;
    options.url = "user=mtagent dbname=mtagent host=127.0.0.1 port=" + std::to_string(frozen.port()) + "," +
                  std::to_string(server.port());
    PoolBed bed(options);
    frozen.freeze();
    CHECK(works(bed));
    CHECK(bed.pool.query("SELECT inet_server_port()")->integer(0, 0) == server.port());
}
