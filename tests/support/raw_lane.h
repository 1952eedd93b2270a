#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "http/fd.h"

namespace mt::test {

/// A reply of a RawLane. Its texts are valid until the lane is used again.
struct LaneReply {
    int status = 0;
    std::size_t mark = 0;     ///< of the request that it answers
    std::string_view head{};  ///< status line and fields, with the empty line
    std::string_view body{};  ///< as long as Content-Length says

    /// First field of that name, written as the server writes it, or "".
    [[nodiscard]] std::string_view field(std::string_view name) const;
};

/// One HTTP/1.1 connection to 127.0.0.1 on which many requests are under way at the same time (pipelining). For
/// replies with Content-Length and requests that fit into the sockets' buffers together. Not thread-safe.
class RawLane {
  public:
    explicit RawLane(int port);

    [[nodiscard]] bool connected() const { return static_cast<bool>(m_fd); }
    [[nodiscard]] int fd() const { return m_fd.get(); }

    /// Queues a request; `mark` comes back with its reply. It is sent by flush() or reply().
    void send(std::string_view request, std::size_t mark);
    void flush();

    /// Waits for the next reply, at most 30 s. Nothing: the connection has ended, or timed_out().
    std::optional<LaneReply> reply();
    /// Reads what has come. Nothing: no whole reply is there yet; cut() tells whether one may still come.
    std::optional<LaneReply> reply_at_hand();

    [[nodiscard]] bool cut() const { return m_cut; }
    [[nodiscard]] bool timed_out() const { return m_timed_out; }
    /// Marks of the requests without a reply, in the order in which they were sent.
    [[nodiscard]] const std::deque<std::size_t>& in_flight() const { return m_marks; }

  private:
    std::optional<LaneReply> take();
    bool receive(int flags);

    http::UniqueFd m_fd;
    std::string m_out;
    std::string m_in;
    std::size_t m_taken = 0;  // bytes of m_in that earlier replies were
    std::deque<std::size_t> m_marks;
    bool m_cut = false;
    bool m_timed_out = false;
};

}  // namespace mt::test
