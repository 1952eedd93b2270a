#include "http/channel.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

namespace mt::http {
namespace {

using State = IoResult::State;

IoResult result_of(ssize_t moved) {
    if (moved >= 0) {
        return {State::moved, static_cast<std::size_t>(moved)};
    }
    return {errno == EAGAIN ? State::again : State::broken, 0};
}

}  // namespace

Channel::Channel(UniqueFd fd, std::unique_ptr<TlsSession> tls) : m_fd(std::move(fd)), m_tls(std::move(tls)) {}

IoResult Channel::handshake() {
    return m_tls ? m_tls->handshake() : IoResult{State::moved, 0};
}

IoResult Channel::read(std::span<char> out) {
    return m_tls ? m_tls->read(out) : read_raw(out);
}

IoResult Channel::write(std::string_view bytes) {
    return m_tls ? m_tls->write(bytes) : write_raw(bytes);
}

IoResult Channel::read_raw(std::span<char> out) const {
    ssize_t got = 0;
    do {
        got = recv(m_fd.get(), out.data(), out.size(), 0);
    } while (got < 0 && errno == EINTR);
    return got == 0 ? IoResult{State::ended, 0} : result_of(got);
}

IoResult Channel::write_raw(std::string_view bytes) const {
    ssize_t sent = 0;
    do {
        sent = send(m_fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return result_of(sent);
}

void Channel::end_writing() {
    if (m_tls) {
        m_tls->close_notify();
    }
    shutdown(m_fd.get(), SHUT_WR);
}

void Channel::reset_when_closed() const {
    const ::linger reset{1, 0};
    setsockopt(m_fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

void Channel::bound_unsent(std::size_t bytes) const {
    if (bytes > 0) {
        // The kernel doubles the number for its own bookkeeping (socket(7)).
        const int half = static_cast<int>(std::min<std::size_t>(bytes / 2, std::numeric_limits<int>::max()));
        setsockopt(m_fd.get(), SOL_SOCKET, SO_SNDBUF, &half, sizeof(half));
    }
}

}  // namespace mt::http
