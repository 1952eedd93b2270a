#include "http/net.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

#include "base/text.h"

namespace mt::http {
namespace {

constexpr int k_backlog = 511;

std::string text_of_errno(int code) {
    return std::system_category().message(code);
}

const sockaddr* generic(const void* address) {
    return static_cast<const sockaddr*>(address);
}

Error cannot_listen(const Address& address, int code) {
    if (code == EADDRINUSE) {
        return Error{Code::unavailable,
                     fmt::format("address {} is in use by another program: stop it or choose another with --listen",
                                 address.to_string())};
    }
    return Error{Code::unavailable, fmt::format("cannot listen on {}: {}", address.to_string(), text_of_errno(code))};
}

// A listening socket at one resolved address; on failure none, and errno says why.
UniqueFd listen_at(const addrinfo& found) {
    UniqueFd fd(socket(found.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int on = 1;
    const int off = 0;
    if (!fd) {
        return fd;
    }
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (found.ai_family == AF_INET6) {
        setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
    // Accepted sockets inherit it: no call per connection.
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd.get(), found.ai_addr, found.ai_addrlen) != 0 || listen(fd.get(), k_backlog) != 0) {
        const int code = errno;
        fd.reset();
        errno = code;
    }
    return fd;
}

int port_of(const sockaddr_storage& address) {
    if (address.ss_family == AF_INET6) {
        sockaddr_in6 v6{};
        std::memcpy(&v6, &address, sizeof(v6));
        return ntohs(v6.sin6_port);
    }
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof(v4));
    return ntohs(v4.sin_port);
}

int bound_port(int fd) {
    sockaddr_storage bound{};
    socklen_t size = sizeof(bound);
    getsockname(fd, static_cast<sockaddr*>(static_cast<void*>(&bound)), &size);
    return port_of(bound);
}

// True when nobody answers at the socket file: its server died without removing it.
bool is_stale(const sockaddr_un& address) {
    const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return probe && connect(probe.get(), generic(&address), sizeof(address)) != 0 && errno == ECONNREFUSED;
}

std::string numeric(int family, const void* address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(family, address, text.data(), text.size());
    return text.data();
}

}  // namespace

Peer name_peer(const sockaddr_storage& address) {
    Peer peer;
    if (address.ss_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &address, sizeof(v4));
        peer.name = numeric(AF_INET, &v4.sin_addr);
    } else if (address.ss_family == AF_INET6) {
        sockaddr_in6 v6{};
        std::memcpy(&v6, &address, sizeof(v6));
        const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
        peer.name = mapped ? numeric(AF_INET, &v6.sin6_addr.s6_addr[12]) : numeric(AF_INET6, &v6.sin6_addr);
    } else {
        return {"unix", true};
    }
    peer.loopback = is_loopback_host(peer.name);
    return peer;
}

Listener::Listener(UniqueFd fd, Address address) : m_fd(std::move(fd)), m_address(std::move(address)) {}

Result<Listener> Listener::open(const Address& address) {
    return address.unix_path.empty() ? open_tcp(address) : open_unix(address);
}

Result<Listener> Listener::open_tcp(const Address& address) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* list = nullptr;
    const int fault = getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &list);
    if (fault != 0) {
        return Error{Code::invalid, fmt::format("cannot listen on {}: {}", address.to_string(), gai_strerror(fault))};
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> found(list, freeaddrinfo);
    int code = EADDRNOTAVAIL;
    for (const addrinfo* at = found.get(); at != nullptr; at = at->ai_next) {
        UniqueFd fd = listen_at(*at);
        if (fd) {
            const int port = bound_port(fd.get());
            return Listener(std::move(fd), Address{address.host, port, ""});
        }
        code = errno;
    }
    if (code == EAFNOSUPPORT && address.host == "::") {
        return open_tcp(Address{"0.0.0.0", address.port, ""});  // a machine without IPv6
    }
    return cannot_listen(address, code);
}

Result<Listener> Listener::open_unix(const Address& address) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (address.unix_path.size() >= sizeof(name.sun_path)) {
        return Error{Code::invalid, fmt::format("the path of {} is longer than {} bytes", address.to_string(),
                                                sizeof(name.sun_path) - 1)};
    }
    address.unix_path.copy(name.sun_path, sizeof(name.sun_path) - 1);
    struct stat file {};
    if (lstat(name.sun_path, &file) == 0) {
        if (!S_ISSOCK(file.st_mode)) {
            return Error{Code::unavailable, fmt::format("{} is no socket: remove it or choose another with --listen",
                                                        quote(address.unix_path))};
        }
        if (!is_stale(name)) {
            return cannot_listen(address, EADDRINUSE);
        }
        unlink(name.sun_path);
    }
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    // On Linux the file takes the mode of the socket: it is never open to others, not even for a moment.
    if (!fd || fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0 || bind(fd.get(), generic(&name), sizeof(name)) != 0 ||
        listen(fd.get(), k_backlog) != 0 || stat(name.sun_path, &file) != 0) {
        return cannot_listen(address, errno);
    }
    Listener listener(std::move(fd), address);
    listener.m_device = file.st_dev;
    listener.m_inode = file.st_ino;
    return listener;
}

// Closing a listener resets what waits in its queue, so the queue must not grow any more when it is emptied for the
// last time. A TCP listener knows no such state: shutdown() would reset the queue, too. A filter drops each SYN
// instead, whose sender tries again a second later and is refused then.
void Listener::turn_away() const {
    if (!m_address.unix_path.empty()) {
        shutdown(m_fd.get(), SHUT_RD);
        return;
    }
    constexpr std::uint32_t k_flags_at = 13;  // in the TCP header (RFC 9293 section 3.1)
    constexpr std::uint32_t k_syn = 2;
    std::array<sock_filter, 4> code{{
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, k_flags_at},
        {BPF_JMP | BPF_JSET | BPF_K, 0, 1, k_syn},
        {BPF_RET | BPF_K, 0, 0, 0},
        {BPF_RET | BPF_K, 0, 0, 0xffffffffU},
    }};
    const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
    setsockopt(m_fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

void Listener::close() {
    struct stat file {};
    if (m_fd && !m_address.unix_path.empty() && lstat(m_address.unix_path.c_str(), &file) == 0 &&
        file.st_dev == m_device && file.st_ino == m_inode) {
        unlink(m_address.unix_path.c_str());
    }
    m_fd.reset();
}

}  // namespace mt::http
