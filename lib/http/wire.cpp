#include "http/wire.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "http/connection.h"

namespace mt::http {

bool Wire::send_all(std::string_view bytes) {
    std::int64_t deadline_ns = 0;
    while (!bytes.empty()) {
        const ssize_t sent = send(m_fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(sent));
            continue;
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno != EAGAIN) {
            return false;
        }
        if (deadline_ns == 0) {
            deadline_ns = SystemClock{}.boot_ns() + std::chrono::nanoseconds{m_timeout}.count();
        }
        if (!wait_writable(deadline_ns)) {
            return false;
        }
    }
    return true;
}

bool Wire::client_gone() const {
    return (m_signals.flags.load(std::memory_order_acquire) & k_gone) != 0;
}

bool Wire::wait_writable(std::int64_t deadline_ns) const {
    constexpr std::int64_t k_slice_ms = 100;  // how late an abandoned drain is noticed
    while (!m_signals.abandon.load(std::memory_order_relaxed)) {
        const std::int64_t left_ms = (deadline_ns - SystemClock{}.boot_ns()) / 1'000'000;
        if (left_ms <= 0) {
            return false;
        }
        pollfd waiting{m_fd, POLLOUT, 0};
        if (poll(&waiting, 1, static_cast<int>(std::min(left_ms, k_slice_ms))) > 0) {
            return true;  // an error shows at the next send
        }
    }
    return false;
}

}  // namespace mt::http
