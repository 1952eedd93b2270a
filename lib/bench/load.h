#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "bench/latency_histogram.h"
#include "http/client.h"

namespace mt {

struct LoadOptions {
    http::Url url;
    int connections = 10;
    std::chrono::milliseconds duration{10'000};
    http::ClientOptions client{};  ///< of every connection
    http::Fields fields{};         ///< sent with every request
};

/// What a load has shown.
struct LoadReport {
    double seconds = 0;
    std::int64_t requests = 0;          ///< with a complete reply
    std::int64_t transport_errors = 0;  ///< no connection, cut replies, timeouts
    std::map<int, std::int64_t> statuses;
    LatencyHistogram latencies;  ///< of complete replies

    [[nodiscard]] double rate() const { return seconds > 0 ? static_cast<double>(requests) / seconds : 0; }
    /// Transport errors and replies from 400 on but 429 (a limit that does its duty is no error).
    [[nodiscard]] std::int64_t errors() const;
    [[nodiscard]] double error_rate() const;
};

/// Told four times a second how far the load is: seconds so far, complete replies so far.
using LoadProgress = std::function<void(double, std::int64_t)>;

/// Sends GETs to one address over `connections` keep-alive connections, each sending its next request when the last
/// reply is complete (closed loop), for `duration` or until `stop`. Errors: unavailable when not even the first
/// connection can be made.
Result<LoadReport> run_load(const LoadOptions& wanted, const Clock& clock, const LoadProgress& progress,
                            const std::stop_token& stop);

}  // namespace mt
