#pragma once

#include <memory>
#include <string>
#include <vector>

#include "e2e/site.h"
#include "support/needs.h"

namespace mt::test {

/// True where the servers that replicas share can be started.
inline bool can_share() {
    return PrivateRedis::is_installed() && PrivatePostgres::is_installed();
}

/// As k_needs_redis, for both.
inline const doctest::skip k_needs_both(!can_share());

/// A Redis, a PostgreSQL, and replicas of the service on both, each with a folder of its own. Not thread-safe.
class ReplicaHouse {
  public:
    explicit ReplicaHouse(const std::string& toml, std::size_t count = 3) {
        for (std::size_t i = 0; i < count; ++i) {
            m_replicas.push_back(std::make_unique<Replica>(toml));
            m_replicas.back()->site.launch().environment = {{"REDIS_URL", m_redis.url()},
                                                            {"POSTGRES_URL", m_postgres.url()}};
        }
    }

    PrivateRedis& redis() { return m_redis; }
    PrivatePostgres& postgres() { return m_postgres; }
    Site& site(std::size_t i = 0) { return m_replicas.at(i)->site; }
    Server& at(std::size_t i) { return *m_replicas.at(i)->server; }
    [[nodiscard]] std::size_t count() const { return m_replicas.size(); }

    void start(std::size_t i, const Words& words = {}) {
        Replica& replica = *m_replicas.at(i);
        replica.server = std::make_unique<Server>(replica.site.launch(), words);
    }
    void start_all() {
        for (std::size_t i = 0; i < count(); ++i) {
            start(i);
        }
    }
    /// kill -9.
    void kill(std::size_t i) {
        at(i).kill();
        m_replicas.at(i)->server.reset();
    }

    /// A number of a tenant as a replica tells it in GET /stats; -1 when it does not.
    std::int64_t number(std::size_t i, const std::string& tenant, const std::string& name) {
        const http::Response reply = at(i).get("/stats");
        const Json numbers = reply.status == 200 ? parse_json(reply.body) : Json::object();
        return numbers.contains(tenant) ? numbers[tenant].value(name, std::int64_t{-1}) : -1;
    }

  private:
    struct Replica {
        explicit Replica(const std::string& toml) : site(toml) {}
        Site site;
        std::unique_ptr<Server> server;
    };

    PrivateRedis m_redis;
    PrivatePostgres m_postgres;
    std::vector<std::unique_ptr<Replica>> m_replicas;
};

}  // namespace mt::test
