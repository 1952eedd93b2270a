#include "redis/socket.h"

#include <fmt/core.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <limits>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace mt::redis {
namespace {

Error fault(std::string what) {
    return Error{Code::unavailable, std::move(what)};
}

std::string words_of(int number) {
    return std::generic_category().message(number);
}

struct Peer {
    sockaddr_storage storage{};
    socklen_t size = 0;
};
using Peers = std::vector<Peer>;

// Blocks for as long as the system's resolver does, unless `flags` say that the host is a number.
Result<Peers> look_up(const std::string& host, int port, int flags) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo* list = nullptr;
    if (const int failed = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list); failed != 0) {
        return fault(fmt::format("the name '{}' is not found: {}", host, gai_strerror(failed)));
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(list, freeaddrinfo);
    Peers peers;
    for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
        Peer peer;
        std::memcpy(&peer.storage, each->ai_addr, each->ai_addrlen);
        peer.size = each->ai_addrlen;
        peers.push_back(peer);
    }
    return peers;
}

// A resolver that hangs is left behind with what it needs: nobody can end it.
Result<Peers> resolve(const std::string& host, int port, const Deadline& deadline) {
    if (Result<Peers> numeric = look_up(host, port, AI_NUMERICHOST); numeric) {
        return numeric;
    }
    const auto promise = std::make_shared<std::promise<Result<Peers>>>();
    std::future<Result<Peers>> found = promise->get_future();
    try {
        std::thread([promise, host, port] { promise->set_value(look_up(host, port, 0)); }).detach();
    } catch (const std::system_error&) {
        return fault("there can be no thread to look the name up");
    }
    if (found.wait_for(std::chrono::milliseconds{deadline.left_ms()}) != std::future_status::ready) {
        return fault(fmt::format("the name '{}' is not found in time", host));
    }
    return found.get();
}

Result<Peers> peers_of(const Address& address, const Deadline& deadline) {
    if (address.socket.empty()) {
        return resolve(address.host, address.port, deadline);
    }
    Peer peer;
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    if (address.socket.size() >= sizeof local.sun_path) {
        return fault("the path of the socket is too long");
    }
    std::memcpy(local.sun_path, address.socket.c_str(), address.socket.size() + 1);
    std::memcpy(&peer.storage, &local, sizeof local);
    peer.size = sizeof local;
    return Peers{peer};
}

void set_option(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);  // a refusal costs speed, not rightness
}

Result<Socket> connect_to(const Peer& peer, const Deadline& deadline) {
    const int family = peer.storage.ss_family;
    Socket made(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (made.fd() < 0) {
        return fault(words_of(errno));
    }
    if (family != AF_UNIX) {
        set_option(made.fd(), IPPROTO_TCP, TCP_NODELAY, 1);
        set_option(made.fd(), SOL_SOCKET, SO_KEEPALIVE, 1);
        set_option(made.fd(), IPPROTO_TCP, TCP_KEEPIDLE, 15);
        set_option(made.fd(), IPPROTO_TCP, TCP_KEEPINTVL, 5);
        set_option(made.fd(), IPPROTO_TCP, TCP_KEEPCNT, 3);
    }
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the interface of sockets
    if (::connect(made.fd(), reinterpret_cast<const sockaddr*>(&peer.storage), peer.size) == 0) {
        return made;
    }
    if (errno != EINPROGRESS) {
        return fault(words_of(errno));
    }
    if (Result<void> ready = made.wait(POLLOUT, deadline); !ready) {
        return fault("no connection in time");
    }
    int failed = 0;
    socklen_t size = sizeof failed;
    getsockopt(made.fd(), SOL_SOCKET, SO_ERROR, &failed, &size);
    if (failed != 0) {
        return fault(words_of(failed));
    }
    return made;
}

}  // namespace

Deadline Deadline::in(std::chrono::milliseconds wait, const Clock& clock) {
    return {clock, clock.boot_ns() + std::chrono::nanoseconds{wait}.count()};
}

Deadline Deadline::at_most(std::chrono::milliseconds wait) const {
    return {clock, std::min(until_ns, in(wait, clock).until_ns)};
}

int Deadline::left_ms() const {
    const std::int64_t left_ns = until_ns - clock.boot_ns();
    constexpr std::int64_t k_most = std::numeric_limits<int>::max();
    return static_cast<int>(std::clamp<std::int64_t>((left_ns + 999'999) / 1'000'000, 0, k_most));
}

Result<Socket> Socket::connect(const Address& address, const Deadline& deadline) {
    Result<Peers> peers = peers_of(address, deadline);
    if (!peers) {
        return std::move(peers).error();
    }
    Error last = fault("no connection in time");
    for (std::size_t i = 0; i < peers->size() && deadline.left_ms() > 0; ++i) {
        const auto share = std::chrono::milliseconds{deadline.left_ms()} / static_cast<int>(peers->size() - i);
        Result<Socket> made = connect_to((*peers)[i], deadline.at_most(share));
        if (made) {
            return made;
        }
        last = std::move(made).error();
    }
    return fault(fmt::format("{}: {}", address.to_string(), last.message));
}

Socket::~Socket() {
    if (m_fd >= 0) {
        close(m_fd);
    }
}

Result<std::size_t> Socket::send_some(std::string_view bytes) const {
    const ssize_t sent = send(m_fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
        return static_cast<std::size_t>(sent);
    }
    if (errno == EAGAIN || errno == EINTR) {
        return std::size_t{0};
    }
    return fault(fmt::format("the connection is lost: {}", words_of(errno)));
}

Result<std::size_t> Socket::receive_some(std::span<char> room) const {
    const ssize_t got = recv(m_fd, room.data(), room.size(), MSG_DONTWAIT);
    if (got > 0) {
        return static_cast<std::size_t>(got);
    }
    if (got == 0) {
        return fault("the connection was closed by the server");
    }
    if (errno == EAGAIN || errno == EINTR) {
        return std::size_t{0};
    }
    return fault(fmt::format("the connection is lost: {}", words_of(errno)));
}

Result<void> Socket::wait(short events, const Deadline& deadline) const {
    while (true) {
        pollfd watched{.fd = m_fd, .events = events, .revents = 0};
        const int ready = poll(&watched, 1, deadline.left_ms());
        if (ready > 0) {
            return {};
        }
        if (ready == 0) {
            return fault("no reply in time");
        }
        if (errno != EINTR) {
            return fault(words_of(errno));
        }
    }
}

}  // namespace mt::redis
