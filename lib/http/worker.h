#pragma once

#include <atomic>

#include "base/log.h"
#include "http/bridge.h"
#include "http/connection.h"
#include "http/server.h"

namespace mt::http {

/// What one thread needs to answer requests. Not thread-safe.
class Worker {
  public:
    /// All must outlive the worker.
    Worker(const Hooks& hooks, const ServerLimits& limits, Log& log)
        : m_limits(limits), m_bridge(hooks.handler, hooks.encode_fault, log) {}

    /// What a server that stops tells those who answer.
    struct Signals {
        const std::atomic<bool>& draining;  ///< no further request on this connection
        const std::atomic<bool>& abandon;   ///< the drain has run out of time
    };

    /// Runs the handler for connection.message, sends the reply, and says in connection.ending how to go on.
    void answer(Connection& connection, const Signals& signals);

  private:
    const ServerLimits& m_limits;
    Bridge m_bridge;
};

}  // namespace mt::http
