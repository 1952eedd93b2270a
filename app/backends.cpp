#include "app/backends.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace mt::app {
namespace {

constexpr std::chrono::seconds k_interval{1};
constexpr int k_catalog_connections = 4;

Result<redis::Address> redis_address(const ServerAddress& address) {
    Result<redis::Address> parsed = redis::parse_address(address.url);
    if (parsed && !address.password.empty()) {
        parsed->password = address.password;
    }
    return parsed;
}

template <class Pool>
Pool* find(const std::map<std::string, std::unique_ptr<Pool>, std::less<>>& pools, std::string_view shard) {
    const auto found = pools.find(shard);
    return found == pools.end() ? nullptr : found->second.get();
}

template <class Pool>
std::vector<Pool*> all_of(const std::map<std::string, std::unique_ptr<Pool>, std::less<>>& pools) {
    std::vector<Pool*> all;
    for (const auto& [shard, pool] : pools) {
        all.push_back(pool.get());
    }
    return all;
}

}  // namespace

Result<std::unique_ptr<Backends>> Backends::open(const Environment& environment, const Clock& clock, Log& log) {
    std::unique_ptr<Backends> backends(new Backends(clock, log));
    for (const std::string_view kind : {"redis", "postgres"}) {
        const Result<ServerAddress> address = read_server_address(kind, environment);
        Result<void> added = address ? Result<void>{} : Result<void>{address.error()};
        if (address && !address->url.empty()) {
            added = backends->add({}, kind, *address);
        }
        if (!added) {
            return std::move(added).error();
        }
    }
    return backends;
}

Backends::~Backends() {
    stop();
}

redis::Pool* Backends::redis(std::string_view shard) {
    const std::lock_guard lock(m_mutex);
    return find(m_redis, shard);
}

postgres::Pool* Backends::postgres(std::string_view shard) {
    const std::lock_guard lock(m_mutex);
    return find(m_postgres, shard);
}

std::vector<redis::Pool*> Backends::all_redis() {
    const std::lock_guard lock(m_mutex);
    return all_of(m_redis);
}

std::vector<postgres::Pool*> Backends::all_postgres() {
    const std::lock_guard lock(m_mutex);
    return all_of(m_postgres);
}

Result<void> Backends::add_shards(const Config& config, const Environment& environment) {
    for (const auto& [name, shard] : config.shards) {
        Result<ServerAddress> address = read_shard_address(shard, environment);
        Result<void> added =
            address ? add(name, kind_of_url(address->url), *address) : Result<void>{std::move(address).error()};
        if (!added) {
            return added;
        }
    }
    return {};
}

Result<void> Backends::add(const std::string& name, std::string_view kind, const ServerAddress& address) {
    const std::string shown = name.empty() ? std::string(kind) : name;
    const std::lock_guard lock(m_mutex);
    if (find(m_redis, name) != nullptr && kind == "redis") {
        return {};
    }
    if (find(m_postgres, name) != nullptr && kind == "postgres") {
        return {};
    }
    if (kind == "postgres") {
        postgres::PoolOptions options;
        options.name = name.empty() ? "postgres-data" : name;
        options.url = address.url;
        options.password = address.password;
        if (name.empty()) {
            postgres::PoolOptions own = options;
            own.name = "postgres";
            own.connections = k_catalog_connections;
            m_catalog = std::make_unique<postgres::Pool>(std::move(own), m_clock, m_log);
        }
        m_postgres.emplace(name, std::make_unique<postgres::Pool>(std::move(options), m_clock, m_log));
        return {};
    }
    Result<redis::Address> parsed = redis_address(address);
    if (!parsed) {
        return Error{Code::config, fmt::format("{}: {}", name.empty() ? "REDIS_URL" : fmt::format("[shards.{}]", name),
                                               parsed.error().message)};
    }
    redis::PoolOptions options;
    options.name = shown;
    options.address = *std::move(parsed);
    m_redis.emplace(name, std::make_unique<redis::Pool>(std::move(options), m_clock, m_log));
    return {};
}

Result<void> Backends::open_limiter(const Config& config, const Environment& environment) {
    const Result<ServerAddress> address = read_server_address("redis", environment);
    if (!address) {
        return address.error();
    }
    if (config.server.limiter == "redis" && address->url.empty()) {
        return Error{Code::config, "limiter = \"redis\" needs REDIS_URL: set it, or take limiter = \"local\""};
    }
    if (config.server.limiter == "local" || address->url.empty()) {
        return {};
    }
    Result<redis::Address> parsed = redis_address(*address);
    if (!parsed) {
        return Error{Code::config, "REDIS_URL: " + parsed.error().message};
    }
    redis::LinkOptions options;
    options.address = *std::move(parsed);
    m_limiter = std::make_unique<redis::Link>(std::move(options), m_clock, m_log);
    return {};
}

Result<void> Backends::check_storage(const Config& config) {
    for (const TenantSpec& spec : config.tenants) {
        const TenantConfig tenant = config.resolve(spec.id, config.placed(spec.id, spec.own));
        const bool missing = (tenant.storage_type == "redis" && redis(tenant.shard) == nullptr) ||
                             (tenant.storage_type == "postgres" && postgres(tenant.shard) == nullptr);
        if (missing) {
            return Error{Code::config, fmt::format("tenant {} has storage_type = \"{}\": set {}, or name a server in "
                                                   "[shards]",
                                                   quote(spec.id), tenant.storage_type,
                                                   tenant.storage_type == "redis" ? "REDIS_URL" : "POSTGRES_URL")};
        }
    }
    return {};
}

void Backends::start() {
    m_thread = std::jthread([this](const std::stop_token& stop) {
        std::unique_lock lock(m_wake_mutex);
        while (!m_wake.wait_for(lock, stop, k_interval, [&] { return stop.stop_requested(); })) {
            ping_all();
        }
    });
}

void Backends::stop() {
    if (m_thread.joinable()) {
        m_thread.request_stop();
        m_thread.join();
    }
}

void Backends::ping_all() {
    for (redis::Pool* pool : all_redis()) {
        const Result<void> asked = pool->ping();
        static_cast<void>(asked);  // the pool notes and logs it
    }
    for (postgres::Pool* pool : all_postgres()) {
        const Result<void> asked = pool->ping();
        static_cast<void>(asked);  // as above
    }
    if (m_catalog) {
        const Result<void> asked = m_catalog->ping();
        static_cast<void>(asked);  // as above
    }
}

std::vector<BackendStatus> Backends::statuses() {
    std::vector<BackendStatus> all;
    if (m_limiter) {
        all.push_back(m_limiter->status());
    }
    if (m_catalog) {
        all.push_back(m_catalog->status());
    }
    for (redis::Pool* pool : all_redis()) {
        all.push_back(pool->status());
    }
    for (postgres::Pool* pool : all_postgres()) {
        all.push_back(pool->status());
    }
    std::sort(all.begin(), all.end(), [](const BackendStatus& a, const BackendStatus& b) { return a.name < b.name; });
    return all;
}

}  // namespace mt::app
