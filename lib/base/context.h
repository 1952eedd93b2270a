#pragma once

#include <cstdint>
#include <limits>
#include <stop_token>
#include <string>

namespace mt {

class Parking;
class Trace;

/// Told, about once a second, that a request still waits: a streamed reply shows its client a sign of life. Called by
/// the thread that waits for the request.
class IdleHook {
  public:
    IdleHook() = default;
    IdleHook(const IdleHook&) = delete;
    IdleHook& operator=(const IdleHook&) = delete;
    virtual ~IdleHook() = default;
    virtual void on_idle() = 0;
};

/// What everything that can block is told about the request it works for: who asks, when to give up, how to learn
/// that the client left. The pipeline's own state of a request (pipeline/call.h) extends it. Not shared between
/// requests; read-only below the pipeline.
struct Context {
    std::string tenant;                                                   ///< tenant id, empty for operators
    std::string request_id;                                               ///< goes into logs and X-Request-Id
    std::string key_id;                                                   ///< id of the API key used, may be empty
    std::stop_token stop;                                                 ///< the client left, or the server drains
    std::int64_t deadline_ns = std::numeric_limits<std::int64_t>::max();  ///< Clock::boot_ns after which to give up
    IdleHook* idle = nullptr;                                             ///< null: nobody needs a sign of life
    Trace* trace = nullptr;                                               ///< of this request; null: nobody traces
    Parking* parking = nullptr;                                           ///< null: who waits keeps the thread

    /// How often whoever waits calls `idle`.
    static constexpr std::int64_t k_idle_interval_ns = 1'000'000'000;

    [[nodiscard]] bool cancelled() const { return stop.stop_requested(); }
};

}  // namespace mt
