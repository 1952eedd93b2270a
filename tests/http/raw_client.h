#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>

#include "http/fd.h"
#include "http/server.h"

namespace mt::test {

/// One reply as it came over the wire.
struct RawReply {
    int status = 0;      ///< 0: the connection ended before a whole head
    std::string head{};  ///< status line and fields, with the empty line
    std::string body{};
    bool whole = false;  ///< the body ended as the head announced
};

/// A client that sends whatever bytes it is told to. Every wait is bounded to some seconds.
class RawClient {
  public:
    explicit RawClient(const http::Address& address) {
        if (address.unix_path.empty()) {
            sockaddr_in to{};
            to.sin_family = AF_INET;
            to.sin_port = htons(static_cast<std::uint16_t>(address.port));
            inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
            connect_to(AF_INET, &to, sizeof(to));
        } else {
            sockaddr_un to{};
            to.sun_family = AF_UNIX;
            address.unix_path.copy(to.sun_path, sizeof(to.sun_path) - 1);
            connect_to(AF_UNIX, &to, sizeof(to));
        }
    }

    [[nodiscard]] bool connected() const { return static_cast<bool>(m_fd); }

    bool send(std::string_view bytes) const {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(m_fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0) {
                return false;
            }
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }

    /// Something can be read within that time.
    [[nodiscard]] bool readable(std::chrono::milliseconds patience = {}) const {
        pollfd waiting{m_fd.get(), POLLIN, 0};
        return poll(&waiting, 1, static_cast<int>(patience.count())) > 0;
    }

    void shut_write() const { shutdown(m_fd.get(), SHUT_WR); }
    void leave() { m_fd.reset(); }

    /// The next reply; `head_only` after HEAD.
    RawReply reply(bool head_only = false) {
        RawReply reply;
        while (m_buffer.find("\r\n\r\n") == std::string::npos) {
            if (!receive()) {
                return reply;
            }
        }
        reply.head = take(m_buffer.find("\r\n\r\n") + 4);
        reply.status = std::stoi(reply.head.substr(9, 3));
        if (head_only || reply.status == 100 || reply.status == 204) {
            reply.whole = true;
        } else if (reply.head.find("Transfer-Encoding: chunked") != std::string::npos) {
            read_chunks(reply);
        } else {
            const std::size_t at = reply.head.find("Content-Length: ");
            const std::size_t length = at == std::string::npos ? 0 : std::stoul(reply.head.substr(at + 16));
            while (m_buffer.size() < length && receive()) {
            }
            reply.whole = m_buffer.size() >= length && at != std::string::npos;
            reply.body = take(reply.whole ? length : m_buffer.size());
        }
        return reply;
    }

    /// One piece of a chunked body, as soon as it is there; "" at the end and when the connection is cut.
    std::string chunk() {
        std::string text;
        next_chunk(text);
        return text;
    }

    /// Everything until the server closes; `end` tells whether it did so in time and without a reset.
    std::string rest(bool* end = nullptr) {
        while (receive()) {
        }
        if (end != nullptr) {
            *end = m_ended;
        }
        return take(m_buffer.size());
    }

    /// True when the server closes, orderly or not, before the wait ends.
    bool closed_by_server() {
        while (receive()) {
        }
        return !m_timed_out;
    }

    /// What came already but was not asked for.
    [[nodiscard]] const std::string& surplus() const { return m_buffer; }

  private:
    void connect_to(int family, const void* address, socklen_t size) {
        m_fd = http::UniqueFd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (connect(m_fd.get(), static_cast<const sockaddr*>(address), size) != 0) {
            m_fd.reset();
        }
    }

    // More bytes into the buffer; false: end, reset or timeout.
    bool receive() {
        constexpr int k_patience_ms = 10'000;
        pollfd waiting{m_fd.get(), POLLIN, 0};
        m_timed_out = poll(&waiting, 1, k_patience_ms) <= 0;
        if (m_timed_out) {
            return false;
        }
        char bytes[16384];
        const ssize_t got = recv(m_fd.get(), bytes, sizeof(bytes), 0);
        m_ended = got == 0;
        if (got > 0) {
            m_buffer.append(bytes, static_cast<std::size_t>(got));
        }
        return got > 0;
    }

    std::string take(std::size_t count) {
        std::string taken = m_buffer.substr(0, count);
        m_buffer.erase(0, count);
        return taken;
    }

    // False: the connection was cut.
    bool next_chunk(std::string& text) {
        while (m_buffer.find("\r\n") == std::string::npos) {
            if (!receive()) {
                return false;
            }
        }
        const std::size_t size = std::stoul(m_buffer, nullptr, 16);
        const std::size_t start = m_buffer.find("\r\n") + 2;
        while (m_buffer.size() < start + size + 2) {
            if (!receive()) {
                return false;
            }
        }
        text = take(start + size + 2).substr(start, size);
        return true;
    }

    void read_chunks(RawReply& reply) {
        std::string piece;
        do {
            piece.clear();
            reply.whole = next_chunk(piece);
            reply.body += piece;
        } while (reply.whole && !piece.empty());
    }

    http::UniqueFd m_fd;
    std::string m_buffer;
    bool m_ended = false;
    bool m_timed_out = false;
};

}  // namespace mt::test
