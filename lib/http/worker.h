#pragma once

#include <atomic>
#include <string>

#include "base/log.h"
#include "http/connection.h"
#include "http/exchange.h"
#include "http/head_writer.h"
#include "http/reply.h"
#include "http/server.h"

namespace mt::http {

/// What one thread needs to answer requests: runs the handler, lets cpp-httplib write the head of a complete reply,
/// and puts it on the wire. Not thread-safe.
class Worker {
  public:
    /// All must outlive the worker.
    Worker(const Hooks& hooks, const ServerLimits& limits, Log& log) : m_hooks(hooks), m_limits(limits), m_log(log) {}

    /// What a server that stops tells those who answer.
    struct Signals {
        const std::atomic<bool>& draining;  ///< no further request on this connection
        const std::atomic<bool>& abandon;   ///< the drain has run out of time
    };

    /// Runs the handler for connection.message, sends the reply, and says in connection.ending how to go on; or leaves
    /// everything as it was when the handler has parked. A handler that throws or does not answer becomes a 500.
    void answer(Connection& connection, const Signals& signals);

  private:
    Ending respond(Exchange& exchange, Wire& wire);
    [[nodiscard]] std::string call_handler(Exchange& exchange) const;
    std::string format(const Response& reply, Persistence persistence, bool head_only);

    const Hooks& m_hooks;
    const ServerLimits& m_limits;
    Log& m_log;
    DateField m_date{};
    HeadWriter m_heads{};
};

}  // namespace mt::http
