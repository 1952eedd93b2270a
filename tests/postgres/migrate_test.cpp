#include <array>
#include <atomic>
#include <latch>

#include "postgres/bed.h"

using mt::Code;
using mt::Result;
using mt::postgres::migrate;
using mt::postgres::Rows;
using mt::postgres::SchemaSteps;
using namespace mt::test;

namespace {

const std::vector<std::string> k_steps{
    "CREATE TABLE t(n int PRIMARY KEY); INSERT INTO t VALUES(1)",
    "ALTER TABLE t ADD COLUMN m int NOT NULL DEFAULT 7; INSERT INTO t VALUES(2, 3)",
};

// A row for each schema and part, so that a test sees the whole.
std::string versions(const PrivatePostgres& server, const std::string& schema) {
    return server.ask("SELECT string_agg(name || version, ' ' ORDER BY name) FROM " + mt::postgres::quote_name(schema) +
                      ".schema_parts");
}

}  // namespace

TEST_CASE_FIXTURE(SharedPostgres,
                  "a part is brought up step by step, in a schema of any name, beside other parts" * k_needs_postgres) {
    PoolBed bed(server);
    const std::string schema = "Odd-\" schema";
    const std::span<const std::string> steps(k_steps);
    REQUIRE(migrate(bed.pool, {schema, "one", steps.first(1)}));
    CHECK(versions(server, schema) == "one1");
    REQUIRE(migrate(bed.pool, {schema, "one", steps}));
    REQUIRE(migrate(bed.pool, {schema, "one", steps}));
    CHECK(versions(server, schema) == "one2");
    const std::vector<std::string> more{"CREATE TABLE other(n int)"};
    REQUIRE(migrate(bed.pool, {schema, "two", more}));
    CHECK(versions(server, schema) == "one2 two1");
    CHECK(server.ask("SELECT sum(n), sum(m) FROM " + mt::postgres::quote_name(schema) + ".t") == "3|10");
    // The search path was of the transaction alone.
    CHECK(code_of(bed.pool.query("SELECT * FROM t")) == Code::not_found);

    CHECK(code_of(migrate(bed.pool, {schema, "one", steps.first(1)})) == Code::version_mismatch);
    CHECK(versions(server, schema) == "one2 two1");
}

TEST_CASE_FIXTURE(SharedPostgres, "a step that fails leaves nothing behind" * k_needs_postgres) {
    PoolBed bed(server);
    const std::vector<std::string> wrong{k_steps[0], "INSERT INTO t VALUES(2); INSERT INTO t VALUES('x')"};
    CHECK(code_of(migrate(bed.pool, {"half", "one", wrong})) == Code::failed);
    CHECK(server.ask("SELECT count(*) FROM pg_namespace WHERE nspname = 'half'") == "0");
}

TEST_CASE_FIXTURE(SharedPostgres,
                  "property: racing migrations of eight threads with own pools come to one" * k_needs_postgres) {
    for (int round = 0; round < 10; ++round) {
        const std::string schema = "race" + std::to_string(round);
        std::latch start(8);
        std::atomic<int> failed{0};
        std::vector<std::jthread> threads;
        for (int t = 0; t < 8; ++t) {
            threads.emplace_back([&] {
                PoolBed bed(server, 1);
                const bool connected = bed.pool.ping().has_value();
                start.arrive_and_wait();
                failed += connected && migrate(bed.pool, {schema, "one", k_steps}) ? 0 : 1;
            });
        }
        threads.clear();
        CHECK(failed == 0);
        CHECK(versions(server, schema) == "one2");
        CHECK(server.ask("SELECT count(*) FROM " + schema + ".t") == "2");
    }
}

TEST_CASE_FIXTURE(SharedPostgres,
                  "a role that may make no schema is told what it needs, and does with one that is there" *
                      k_needs_postgres) {
    REQUIRE(server.ask("CREATE ROLE guest LOGIN; CREATE SCHEMA given AUTHORIZATION guest").empty());
    auto options = PoolBed::options_of(server);
    options.url = "postgres://guest@127.0.0.1:" + std::to_string(server.port()) + "/mtagent";
    PoolBed bed(options);
    const Result<void> refused = migrate(bed.pool, {"own", "one", k_steps});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::failed);
    CHECK(refused.error().message.find("CREATE on the database") != std::string::npos);
    CHECK(migrate(bed.pool, {"given", "one", k_steps}));
}
