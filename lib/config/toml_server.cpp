#include <fmt/core.h>

#include "base/networks.h"
#include "config/toml_section.h"

namespace mt {
namespace {

using S = ServerConfig;

using ServerField = SectionField<ServerConfig>;

Result<void> check_network(const std::string& text) {
    Result<Networks> parsed = Networks::parse({&text, 1});
    return parsed ? Result<void>{} : Result<void>{std::move(parsed).error()};
}

constexpr std::array<std::string_view, 5> k_levels{"debug", "info", "warning", "error", "off"};
constexpr std::array<std::string_view, 2> k_limiters{"local", "redis"};
constexpr std::array<std::string_view, 3> k_limiter_outages{"local-share", "open", "closed"};
constexpr std::int64_t k_day_ms = 86'400'000;
constexpr std::int64_t k_kib = 1024;
constexpr std::int64_t k_mib = 1024 * k_kib;
constexpr std::int64_t k_gib = 1024 * k_mib;
constexpr std::int64_t k_most_threads = 65'536;
constexpr std::int64_t k_most_requests = 1'000'000;
constexpr std::int64_t k_most_connections = 10'000'000;

const std::array k_server_fields{
    ServerField{{"listen", FieldKind::text, 1, 256, {}, nullptr, "HOST:PORT"}, &S::listen},
    ServerField{{"data", FieldKind::text, 1, 4096, {}, nullptr, "folder"}, &S::data},
    ServerField{{"log_level", FieldKind::text, 1, 16, k_levels, nullptr, "least level"}, &S::log_level},
    ServerField{{"access_log", FieldKind::boolean, 0, 1, {}, nullptr, "a line per call"}, &S::access_log},
    ServerField{{"workers", FieldKind::integer, 0, 1024, {}, nullptr, "threads"}, &S::workers},
    ServerField{{"max_head", FieldKind::size, k_kib, k_mib, {}, nullptr, "head"}, &S::max_head},
    ServerField{{"max_fields", FieldKind::integer, 1, 10'000, {}, nullptr, "fields"}, &S::max_fields},
    ServerField{{"max_uri", FieldKind::size, 64, k_mib, {}, nullptr, "target"}, &S::max_uri},
    ServerField{{"max_body", FieldKind::size, 0, k_gib, {}, nullptr, "body"}, &S::max_body},
    ServerField{{"max_buffered", FieldKind::size, k_kib, k_kib* k_gib, {}, nullptr, "requests"}, &S::max_buffered},
    ServerField{{"max_stream_buffer", FieldKind::size, k_kib, k_gib, {}, nullptr, "stream"}, &S::max_stream_buffer},
    ServerField{{"max_blocking", FieldKind::integer, 1, k_most_threads, {}, nullptr, "waits"}, &S::max_blocking},
    ServerField{{"max_in_flight", FieldKind::integer, 1, k_most_requests, {}, nullptr, "calls"}, &S::max_in_flight},
    ServerField{{"max_concurrency", FieldKind::integer, 0, k_most_requests, {}, nullptr, "agent slots"},
                &S::max_concurrency},
    ServerField{{"queue_timeout", FieldKind::duration, 1, k_day_ms, {}, nullptr, "wait for a slot"},
                &S::queue_timeout_ms},
    ServerField{{"metrics_tenants", FieldKind::integer, 0, k_most_requests, {}, nullptr, "tenants with own series"},
                &S::metrics_tenants},
    ServerField{{"max_connections", FieldKind::integer, 1, k_most_connections, {}, nullptr, "open"},
                &S::max_connections},
    ServerField{{"max_connections_per_peer", FieldKind::integer, 1, k_most_connections, {}, nullptr, "of one address"},
                &S::max_connections_per_peer},
    ServerField{{"trusted_proxies", FieldKind::list, 0, 256, {}, check_network, "networks"}, &S::trusted_proxies},
    ServerField{{"private_upstreams", FieldKind::list, 0, 256, {}, check_network, "networks"}, &S::private_upstreams},
    ServerField{{"tls_cert", FieldKind::text, 1, 4096, {}, nullptr, "PEM file"}, &S::tls_cert},
    ServerField{{"tls_key", FieldKind::text, 1, 4096, {}, nullptr, "PEM file"}, &S::tls_key},
    ServerField{{"head_timeout", FieldKind::duration, 1, k_day_ms, {}, nullptr, "head"}, &S::head_timeout_ms},
    ServerField{{"body_timeout", FieldKind::duration, 1, k_day_ms, {}, nullptr, "body"}, &S::body_timeout_ms},
    ServerField{{"idle_timeout", FieldKind::duration, 1, k_day_ms, {}, nullptr, "idle"}, &S::idle_timeout_ms},
    ServerField{{"write_timeout", FieldKind::duration, 1, k_day_ms, {}, nullptr, "reply"}, &S::write_timeout_ms},
    ServerField{{"drain_delay", FieldKind::duration, 0, k_day_ms, {}, nullptr, "delay"}, &S::drain_delay_ms},
    ServerField{{"drain_timeout", FieldKind::duration, 0, k_day_ms, {}, nullptr, "drain"}, &S::drain_timeout_ms},
    ServerField{{"limiter", FieldKind::text, 1, 16, k_limiters, nullptr, "who keeps the limits"}, &S::limiter},
    ServerField{{"limiter_outage", FieldKind::text, 1, 16, k_limiter_outages, nullptr, "while Redis is away"},
                &S::limiter_outage},
    ServerField{{"request_timeout", FieldKind::duration, 1, k_day_ms, {}, nullptr, "call"}, &S::request_timeout_ms},
};

// A certificate is of no use without its key, nor a key without its certificate.
void check_pair(const toml::table& table, std::string_view given, std::string_view needed, TomlFaults& faults) {
    const toml::node* node = table.get(given);
    if (node != nullptr && !table.contains(needed)) {
        faults.add(node->source(), fmt::format("{} needs {} beside it: name both files, or neither", given, needed));
    }
}

}  // namespace

void read_server(const toml::node& node, ServerConfig& server, TomlFaults& faults) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
        return faults.add(node.source(), "[server] is a table");
    }
    read_section<ServerConfig>(*table, {"[server]", k_server_fields}, server, faults);
    check_pair(*table, "tls_cert", "tls_key", faults);
    check_pair(*table, "tls_key", "tls_cert", faults);
}

}  // namespace mt
