#pragma once

#include <cstdint>
#include <limits>
#include <stop_token>
#include <string>

namespace mt {

/// What everything that can block is told about the request it works for: who asks, when to give up, how to learn
/// that the client left. The pipeline's own state of a request (pipeline/call.h) extends it. Not shared between
/// requests; read-only below the pipeline.
struct Context {
    std::string tenant;                                                   ///< tenant id, empty for operators
    std::string request_id;                                               ///< goes into logs and X-Request-Id
    std::string key_id;                                                   ///< id of the API key used, may be empty
    std::stop_token stop;                                                 ///< the client left, or the server drains
    std::int64_t deadline_ns = std::numeric_limits<std::int64_t>::max();  ///< Clock::boot_ns after which to give up

    [[nodiscard]] bool cancelled() const { return stop.stop_requested(); }
};

}  // namespace mt
