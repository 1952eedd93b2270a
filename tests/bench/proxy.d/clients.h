#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "bench/latency_histogram.h"
#include "http/client.h"

namespace mt::bench {

/// Whom the clients below ask, and what.
struct ChatTarget {
    http::Url url;
    http::Fields fields{};
    std::string body{};  ///< a chat request without "stream"
};

struct RateOptions {
    int per_second = 1000;
    std::chrono::seconds duration{5};
    int connections = 32;
};

struct RateReport {
    LatencyHistogram latencies{};  ///< from the moment at which a request was due
    std::int64_t failures = 0;     ///< no reply, or another status than 200
};

/// Sends requests at a fixed rate, whatever the replies do (open loop). A request is due at its place in an even row;
/// one that finds no connection free is late, and its lateness is part of its latency, so that a server that stands
/// still is not asked less often (the "coordinated omission" of closed loops). Errors: those of a connection's first
/// request.
Result<RateReport> ask_at_rate(const ChatTarget& target, const RateOptions& options);

struct StreamOptions {
    int streams = 8;  ///< at the same time
    std::chrono::seconds duration{5};
    int deltas = 20;  ///< that each stream must have
};

struct StreamReport {
    LatencyHistogram first{};  ///< of a stream's first piece, from its sending by model_server to its arrival here
    LatencyHistogram all{};    ///< of every piece
    std::int64_t streams = 0;
};

/// Reads streams of model_server, one after the other on each connection. Errors: a stream that is not whole.
Result<StreamReport> read_streams(const ChatTarget& target, const StreamOptions& options);

}  // namespace mt::bench
