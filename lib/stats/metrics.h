#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "stats/totals.h"

namespace mt {

/// Numbers of one tenant as /metrics shows them.
struct TenantSample {
    std::string tenant;
    Totals totals;
    Gauges gauges;
};

/// Numbers of the process itself.
struct ProcessSample {
    std::int64_t invalid_requests = 0;  ///< refused before a tenant was known: 400, 404, 405, ...
    std::vector<std::pair<std::string, std::int64_t>> refusals{};  ///< by the transport alone: reason and count
    std::int64_t connections = 0;
    std::int64_t tenants = 0;  ///< loaded
    double uptime_s = 0;
    std::string version;
};

/// Prometheus text format 0.0.4 by prometheus-cpp's serializer. Pure, thread-safe.
std::string render_metrics(std::span<const TenantSample> tenants, const ProcessSample& process);

}  // namespace mt
