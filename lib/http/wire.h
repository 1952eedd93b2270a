#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace mt::http {

/// The writing side of one connection while a worker answers a request on it. Refers to what it is given, owns nothing.
/// Used by one thread.
class Wire {
  public:
    /// What others may tell the writer.
    struct Signals {
        const std::atomic<unsigned>& flags;  ///< Connection::flags
        const std::atomic<bool>& abandon;    ///< the server's drain has run out of time: wait for nobody
    };

    /// `timeout` bounds one send_all() to a client that does not read.
    Wire(int fd, std::chrono::milliseconds timeout, const Signals& signals)
        : m_fd(fd), m_timeout(timeout), m_signals(signals) {}

    /// Sends everything, waiting where the client's window is full. False: the client is gone, or too slow.
    bool send_all(std::string_view bytes);

    /// The client closed its side of the connection.
    [[nodiscard]] bool client_gone() const;

  private:
    bool wait_writable(std::int64_t deadline_ns) const;

    int m_fd;
    std::chrono::milliseconds m_timeout;
    Signals m_signals;
};

}  // namespace mt::http
