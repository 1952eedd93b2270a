#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "redis/address.h"

namespace mt::redis {

// Errors of this file are unavailable, and their message is the fault for the operator: it holds no secret.

/// Until when somebody waits.
struct Deadline {
    const Clock& clock;
    std::int64_t until_ns = 0;  ///< Clock::boot_ns

    static Deadline in(std::chrono::milliseconds wait, const Clock& clock);
    /// The earlier one of this and `wait` from now.
    [[nodiscard]] Deadline at_most(std::chrono::milliseconds wait) const;
    /// Rounded up; 0 when it is over.
    [[nodiscard]] int left_ms() const;
};

/// A connected stream that never blocks by itself: TCP without delay and with keep-alive, or a unix socket. Owns its
/// descriptor. Not thread-safe.
class Socket {
  public:
    /// Looks the host up and connects, to one address after the other.
    static Result<Socket> connect(const Address& address, const Deadline& deadline);

    explicit Socket(int fd) : m_fd(fd) {}
    Socket(Socket&& other) noexcept : m_fd(std::exchange(other.m_fd, -1)) {}
    Socket& operator=(Socket&&) = delete;
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket();

    [[nodiscard]] int fd() const { return m_fd; }
    /// How many bytes it took; 0: none now.
    Result<std::size_t> send_some(std::string_view bytes) const;
    /// How many bytes came; 0: none now. Errors also when the other side has closed.
    Result<std::size_t> receive_some(std::span<char> room) const;
    /// Waits for one of `events` (poll). Errors: the deadline has passed.
    [[nodiscard]] Result<void> wait(short events, const Deadline& deadline) const;

  private:
    int m_fd;
};

}  // namespace mt::redis
