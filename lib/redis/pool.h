#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/backend.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "redis/address.h"
#include "redis/reply.h"

namespace mt::redis {

struct PoolOptions {
    std::string name = "redis";  ///< in logs, metrics and /readyz
    Address address;
    int connections = 8;  ///< at most
    std::chrono::milliseconds connect_timeout{500};
    std::chrono::milliseconds command_timeout{1000};  ///< waiting for a free connection included
};

/// A bounded number of connections to one Redis, for commands that are waited for one at a time: data of tenants. Made
/// without touching the network; connections open when they are needed, and are let go when they fail. While Redis is
/// away (Backend) calls are refused at once. Thread-safe; waits in a BlockingRegion.
///
/// Every call: unavailable with retry_after (away, loading, read-only, out of memory or of connections, too slow),
/// failed for any other error that Redis answers, busy when too many threads wait. A command whose reply was lost may
/// have been done: it is tried again by itself only on a connection that Redis had closed before the command was sent.
class Pool {
  public:
    /// `clock` and `log` must outlive the pool.
    Pool(PoolOptions options, const Clock& clock, Log& log);
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ~Pool();

    /// Runs one command in a database (its number is of the address's own server).
    Result<Reply> run(int database, const Command& command);
    /// Runs a script: EVALSHA, and EVAL where Redis answers NOSCRIPT.
    Result<Reply> run(int database, const Call& call);
    /// Several commands in one round trip, in order; the first error of any is returned.
    Result<std::vector<Reply>> run_all(int database, const std::vector<Command>& commands);
    /// Asks whether Redis is there, so that an outage and its end are seen without traffic.
    Result<void> ping();

    /// The database that the address names.
    [[nodiscard]] int default_database() const;
    [[nodiscard]] BackendStatus status() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt::redis
