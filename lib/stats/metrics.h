#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/backend.h"
#include "stats/call_meters.h"
#include "stats/process_usage.h"
#include "stats/totals.h"

namespace mt {

/// Numbers of one tenant as /metrics shows them.
struct TenantSample {
    std::string tenant;
    Totals totals;
    Gauges gauges;
};

/// Numbers of one upstream: a server that answers for a model.
struct UpstreamSample {
    std::string model;                   ///< name of its [models.NAME]
    int breaker_state = 0;               ///< 0 closed, 1 half-open, 2 open
    std::int64_t requests_ok = 0;        ///< attempts that were answered
    std::int64_t requests_failed = 0;    ///< attempts that were not
    std::int64_t retries = 0;            ///< attempts after the first one of a call
    std::int64_t fallbacks = 0;          ///< calls that went on to the next model
    std::int64_t rejected = 0;           ///< attempts that the open breaker did not let out
    std::int64_t first_token_count = 0;  ///< answers whose first token came
    double first_token_seconds = 0;      ///< sum over these: from the request to the first token
};

/// Numbers of the gate in front of the agents.
struct GateSample {
    std::int64_t slots = 0;
    std::int64_t running = 0;
    std::int64_t waiting = 0;
    std::int64_t refused_full = 0;     ///< their queue, or all queues, were full
    std::int64_t refused_timeout = 0;  ///< waited too long
};

/// Who decided about calls, where limits are kept in Redis.
struct LimiterSample {
    std::int64_t by_redis = 0;
    std::int64_t by_share = 0;  ///< of a local bucket, while Redis was away
    std::int64_t let_in = 0;    ///< while Redis was away and limiter_outage is "open"
    std::int64_t refused = 0;   ///< while Redis was away and limiter_outage is "closed"
    bool outage = false;        ///< Redis is away right now
    std::int64_t replicas = 1;  ///< that live, this one included
};

/// Numbers of what reports on the process.
struct ReportSample {
    std::int64_t log_lines_dropped = 0;
    std::int64_t spans_exported = 0;
    std::int64_t spans_dropped = 0;
    std::int64_t spans_queued = 0;
    std::int64_t ledger_failing_tenants = 0;
    std::int64_t ledger_failed_writes = 0;
    std::int64_t ledger_writes = 0;
};

/// Numbers of the process itself.
struct ProcessSample {
    std::int64_t invalid_requests = 0;  ///< refused before a tenant was known: 400, 404, 405, ...
    std::vector<std::pair<std::string, std::int64_t>> refusals{};  ///< by the transport alone: reason and count
    std::int64_t connections = 0;
    std::int64_t tenants = 0;  ///< loaded
    double uptime_s = 0;
    std::string version;
    std::vector<UpstreamSample> upstreams{};
    GateSample gate{};
    ReportSample reports{};
    std::vector<BackendStatus> backends{};
    LimiterSample limiter{};
    ProcessUsage usage{};
    HistogramSample request{};
    HistogramSample first_token{};
    HistogramSample upstream{};
    HistogramSample overhead{};
    std::vector<std::pair<std::string_view, std::int64_t>> errors{};  ///< failed calls by reason
};

/// Prometheus text format 0.0.4 by prometheus-cpp's serializer. The reasons of a tenant's denials show once they have
/// happened; everything else is there from the start. Pure, thread-safe.
std::string render_metrics(std::span<const TenantSample> tenants, const ProcessSample& process);

}  // namespace mt
