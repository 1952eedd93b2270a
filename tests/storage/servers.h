#pragma once

#include "base/clock.h"
#include "base/log.h"
#include "postgres/pool.h"
#include "redis/pool.h"
#include "support/private_postgres.h"
#include "support/private_redis.h"

namespace mt::test {

/// A Redis with a pool to it.
struct RedisServer {
    explicit RedisServer(const std::vector<std::string>& settings = {}) : server(settings) {}

    PrivateRedis server;
    SystemClock clock;
    Log log{LogLevel::off};
    redis::Pool pool{
        {.address = *redis::parse_address(server.url()), .command_timeout = std::chrono::seconds{5}}, clock, log};
};

/// The one of all cases of this process that do it no harm.
inline RedisServer& shared_redis() {
    static RedisServer server;
    return server;
}

/// A PostgreSQL with a pool to it.
struct PostgresServer {
    [[nodiscard]] postgres::PoolOptions options() const {
        postgres::PoolOptions options;
        options.url = server.url();
        return options;
    }

    PrivatePostgres server;
    SystemClock clock;
    Log log{LogLevel::off};
    postgres::Pool pool{options(), clock, log};
};

/// The one of all cases of this process that do it no harm.
inline PostgresServer& shared_postgres() {
    static PostgresServer server;
    return server;
}

}  // namespace mt::test
