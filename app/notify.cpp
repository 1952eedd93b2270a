#include "app/notify.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <system_error>

namespace mt::app {
namespace {

constexpr time_t k_patience_s = 1;  // for a manager whose queue is full

// sd_notify(3) asks for CLOCK_MONOTONIC itself, so that the manager can tell which of its own reloads this is.
std::int64_t monotonic_us() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

// unix(7): an abstract name begins with a NUL and ends with the address.
socklen_t fill(sockaddr_un& to, std::string_view name) {
    to.sun_family = AF_UNIX;
    std::copy(name.begin(), name.end(), to.sun_path);
    const bool abstract = name.front() == '@';
    if (abstract) {
        to.sun_path[0] = '\0';
    }
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0 : 1));
}

}  // namespace

Notifier::Notifier(const std::optional<std::string>& address, Log& log) : m_log(log), m_address(address.value_or("")) {
    if (m_address.empty()) {
        return;
    }
    const bool known = m_address.size() > 1 && (m_address.front() == '/' || m_address.front() == '@');
    if (!known || m_address.size() >= sizeof(sockaddr_un::sun_path)) {
        complain("it is neither a path nor '@' and a name, or too long");
        return;
    }
    m_fd = http::UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!m_fd) {
        complain(std::system_category().message(errno));
        return;
    }
    const timeval patience{k_patience_s, 0};
    setsockopt(m_fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

void Notifier::ready(std::string_view status) {
    send(fmt::format("READY=1\nSTATUS={}", status));
}

void Notifier::reloading(std::string_view status) {
    send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS={}", monotonic_us(), status));
}

void Notifier::stopping(std::string_view status) {
    send(fmt::format("STOPPING=1\nSTATUS={}", status));
}

void Notifier::status(std::string_view text) {
    send(fmt::format("STATUS={}", text));
}

void Notifier::send(std::string_view lines) {
    if (!m_fd) {
        return;
    }
    sockaddr_un to{};
    const socklen_t size = fill(to, m_address);
    const auto* address = static_cast<const sockaddr*>(static_cast<const void*>(&to));
    if (sendto(m_fd.get(), lines.data(), lines.size(), MSG_NOSIGNAL, address, size) < 0) {
        complain(std::system_category().message(errno));
    }
}

void Notifier::complain(std::string_view what) {
    if (!m_complained) {
        m_log.debug(fmt::format("the service manager at NOTIFY_SOCKET={} is not told: {}", m_address, what));
    }
    m_complained = true;
}

}  // namespace mt::app
