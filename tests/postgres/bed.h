#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "postgres/pool.h"
#include "support/needs.h"

namespace mt::test {

/// One server for all tests that leave it as they found it; null where PostgreSQL is not installed.
inline PrivatePostgres* shared_postgres() {
    if (!PrivatePostgres::is_installed()) {
        MESSAGE("SKIPPED: PostgreSQL is not installed");
        return nullptr;
    }
    static PrivatePostgres server;
    return &server;
}

/// A pool on a server, with a clock and a log of its own.
struct PoolBed {
    explicit PoolBed(const PrivatePostgres& server, int connections = 4) : PoolBed(options_of(server, connections)) {}
    explicit PoolBed(postgres::PoolOptions options) : pool(std::move(options), clock, log) {}

    static postgres::PoolOptions options_of(const PrivatePostgres& server, int connections = 4) {
        postgres::PoolOptions options;
        options.url = server.url();
        options.connections = connections;
        return options;
    }

    SystemClock clock;
    Log log{LogLevel::off};
    postgres::Pool pool;
};

/// For cases that leave the shared server as they found it.
struct SharedPostgres {
    PrivatePostgres& server = *shared_postgres();
};

/// For cases that break their server: one of their own, and options of pools on it.
struct OwnPostgres {
    PrivatePostgres server;
    postgres::PoolOptions options = PoolBed::options_of(server);
};

inline std::optional<Code> code_of(const Result<postgres::Rows>& result) {
    return result ? std::nullopt : std::optional(result.error().code);
}
inline std::optional<Code> code_of(const Result<void>& result) {
    return result ? std::nullopt : std::optional(result.error().code);
}

inline std::chrono::milliseconds since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
}

/// Asks again and again; false when it did not come true within `bound`.
template <class Condition>
bool comes_true(Condition holds, std::chrono::milliseconds bound) {
    const auto start = std::chrono::steady_clock::now();
    while (!holds()) {
        if (since(start) > bound) {
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

}  // namespace mt::test
