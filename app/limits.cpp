#include "app/limits.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>

namespace mt::app {
namespace {

constexpr std::size_t k_most_open_files = 128;  // tenants' files, three descriptors each
constexpr std::size_t k_other_files = 64;       // registry, slots, epoll, log, ...

}  // namespace

Descriptors share_descriptors() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    const auto all = static_cast<std::size_t>(limit.rlim_cur);
    const std::size_t usable = all > 2 * k_other_files ? all - k_other_files : all / 2;
    const std::size_t files = std::clamp<std::size_t>(usable / 12, 2, k_most_open_files);
    return {files, std::max<std::size_t>(usable - std::min(usable, 3 * files), 16)};
}

http::ServerLimits server_limits(const ServerConfig& server, const Descriptors& descriptors) {
    const auto count = [](std::int64_t number) { return static_cast<std::size_t>(number); };
    http::ServerLimits limits;
    limits.max_head = count(server.max_head);
    limits.max_fields = count(server.max_fields);
    limits.max_uri = count(server.max_uri);
    limits.max_body = count(server.max_body);
    limits.max_buffered = count(server.max_buffered);
    limits.max_stream_buffer = count(server.max_stream_buffer);
    limits.max_blocking = count(server.max_blocking);
    limits.max_in_flight = count(server.max_in_flight);
    limits.max_connections = std::min(count(server.max_connections), descriptors.connections);
    // One address never takes all places, however few the system gives.
    limits.max_connections_per_peer = std::min(count(server.max_connections_per_peer), limits.max_connections / 2 + 1);
    limits.trusted_proxies = server.trusted_proxies;
    limits.head_timeout = std::chrono::milliseconds{server.head_timeout_ms};
    limits.body_timeout = std::chrono::milliseconds{server.body_timeout_ms};
    limits.idle_timeout = std::chrono::milliseconds{server.idle_timeout_ms};
    limits.write_timeout = std::chrono::milliseconds{server.write_timeout_ms};
    limits.workers = static_cast<int>(server.workers);
    return limits;
}

int most_followers(const ServerConfig& server) {
    constexpr std::int64_t k_share = 8;
    return static_cast<int>(std::max<std::int64_t>(server.max_blocking / k_share, 1));
}

GateSettings gate_settings(const ServerConfig& server) {
    const std::int64_t half = std::max<std::int64_t>(server.max_blocking / 2, 1);
    GateSettings settings;
    settings.slots = server.max_concurrency > 0 ? server.max_concurrency : half;
    settings.max_waiting = half;
    settings.queue_timeout = std::chrono::milliseconds{server.queue_timeout_ms};
    return settings;
}

}  // namespace mt::app
