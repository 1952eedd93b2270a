#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/backend.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "config/environment.h"
#include "postgres/pool.h"
#include "redis/link.h"
#include "redis/pool.h"
#include "tenant/data_servers.h"

namespace mt::app {

/// Every Redis and PostgreSQL that the configuration names, made without touching the network. Thread-safe.
class Backends final : public DataServers {
  public:
    /// Those of REDIS_URL and POSTGRES_URL. `clock` and `log` must outlive it. Errors: config (an address is none, a
    /// password cannot be read).
    static Result<std::unique_ptr<Backends>> open(const Environment& environment, const Clock& clock, Log& log);
    ~Backends() override;

    redis::Pool* redis(std::string_view shard) override;
    postgres::Pool* postgres(std::string_view shard) override;
    std::vector<redis::Pool*> all_redis() override;
    std::vector<postgres::Pool*> all_postgres() override;

    /// Of POSTGRES_URL, for catalog and ledger alone, which tenants' data must not keep waiting; null: they lie in the
    /// data folder.
    postgres::Pool* catalog() { return m_catalog.get(); }
    /// The connection that limits are decided over; null: they are kept in this process.
    redis::Link* limiter() { return m_limiter.get(); }

    /// Takes the shards that a configuration has and this has not; those that are there stay as they are. Errors:
    /// config (an address or password is missing or is none).
    Result<void> add_shards(const Config& config, const Environment& environment);
    /// Opens the connection for limits where the configuration wants them in Redis. Errors: config (REDIS_URL is
    /// missing).
    Result<void> open_limiter(const Config& config, const Environment& environment);
    /// Every tenant of the file has a server for its storage. Errors: config, naming one that has none.
    Result<void> check_storage(const Config& config);

    /// Starts the thread that asks every server once a second, so that an outage and its end are seen without traffic.
    void start();
    void stop();

    /// How all of them are, in order of their names.
    std::vector<BackendStatus> statuses();

  private:
    Backends(const Clock& clock, Log& log) : m_clock(clock), m_log(log) {}
    Result<void> add(const std::string& name, std::string_view kind, const ServerAddress& address);
    void ping_all();

    const Clock& m_clock;
    Log& m_log;
    std::mutex m_mutex{};  // guards the two maps; pools stay where they are
    std::map<std::string, std::unique_ptr<redis::Pool>, std::less<>> m_redis{};  // by shard, "": REDIS_URL
    std::map<std::string, std::unique_ptr<postgres::Pool>, std::less<>> m_postgres{};
    std::unique_ptr<postgres::Pool> m_catalog{};
    std::unique_ptr<redis::Link> m_limiter{};
    std::mutex m_wake_mutex{};
    std::condition_variable_any m_wake{};
    std::jthread m_thread{};
};

}  // namespace mt::app
