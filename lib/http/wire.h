#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "http/connection.h"
#include "http/server.h"

namespace mt::http {

/// The writing side of one connection while a handler answers a request on it. Used by the handler's thread.
class Wire {
  public:
    /// `abandon`: the server's drain has run out of time, wait for nobody. All outlive the wire.
    Wire(Connection& connection, const ServerLimits& limits, const std::atomic<bool>& abandon)
        : m_connection(connection), m_limits(limits), m_abandon(abandon) {}

    /// Sends a complete reply. What the client's window does not take stays in Connection::outgoing for the reactor, so
    /// that a slow reader holds no thread. False: the client is gone.
    bool send_reply(std::string bytes);

    /// The first bytes of a stream: from here on the kernel keeps only max_stream_buffer bytes for a slow reader.
    bool begin_stream(std::string_view head);

    /// Sends everything, waiting (in a blocking region) where the client's window is full, write_timeout at most.
    /// False: the client is gone, or too slow, or too many others wait.
    bool send_all(std::string_view bytes);

    /// The client closed its side of the connection.
    [[nodiscard]] bool client_gone() const;

  private:
    std::size_t write_some(std::string_view bytes, IoResult::State& state);
    bool wait_writable(std::int64_t deadline_ns) const;

    Connection& m_connection;
    const ServerLimits& m_limits;
    const std::atomic<bool>& m_abandon;
};

}  // namespace mt::http
