#pragma once

#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "e2e/site.h"
#include "http/raw_client.h"

namespace mt::test {

/// What a process holds of the system.
struct Holdings {
    std::size_t descriptors = 0;
    std::size_t threads = 0;
    std::size_t resident_kib = 0;
};

inline Holdings holdings_of(pid_t pid) {
    const std::filesystem::path process = "/proc/" + std::to_string(pid);
    Holdings held;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(process / "fd")) {
        ++held.descriptors;
    }
    std::ifstream status(process / "status");
    for (std::string name; status >> name;) {
        if (name == "Threads:") {
            status >> held.threads;
        } else if (name == "VmRSS:") {
            status >> held.resident_kib;
        }
    }
    return held;
}

/// A runner whose handler the watchdog judged too slow costs a spare thread, which stays for the next time. How many
/// there are depends on the machine's noise, not on the number of connections.
constexpr std::size_t k_spare_threads = 16;

inline http::Address address_of(const Server& server) {
    return {"127.0.0.1", server.port(), ""};
}

/// A tenant whose calls are never limited, to be asked at /fast.
inline std::string fast_tenant(const std::string& server_settings = "") {
    return "[server]\n" + server_settings +
           "\n[[tenants]]\nid = \"fast\"\nname = \"Fast Corp\"\nplan = \"enterprise\"\nauth = \"open\"\n"
           "rate_limit = 1000000000\n";
}

inline std::string get_text(const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
}

inline std::string post_text(const std::string& target, const std::string& body) {
    return "POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// How a raw socket is made: 0 leaves a bound to the system.
struct Dial {
    int receive_buffer = 0;  ///< bytes that the kernel keeps for a client that does not read
    int segment = 0;         ///< bytes of a TCP segment; the server's kernel sizes its buffer by it
};

/// A connection as a plain descriptor, for what RawClient does not do. Not open: nobody listens.
inline http::UniqueFd dial(const http::Address& address, const Dial& how = {}) {
    http::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (how.receive_buffer > 0) {
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &how.receive_buffer, sizeof(how.receive_buffer));
    }
    if (how.segment > 0) {
        setsockopt(fd.get(), IPPROTO_TCP, TCP_MAXSEG, &how.segment, sizeof(how.segment));
    }
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(address.port));
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
        fd.reset();
    }
    return fd;
}

inline bool send_text(const http::UniqueFd& fd, std::string_view text) {
    return send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

/// Something can be read, or the connection has ended, within that time.
inline bool is_readable(const http::UniqueFd& fd, std::chrono::milliseconds patience) {
    pollfd waiting{fd.get(), POLLIN, 0};
    return poll(&waiting, 1, static_cast<int>(patience.count())) > 0;
}

/// Ends a connection with a reset: what is in the buffers of both sides is lost.
inline void reset(http::UniqueFd fd) {
    const ::linger at_once{1, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

/// Raises this process's own limit as far as it may; false: fewer than `wanted` descriptors.
inline bool may_open(std::size_t wanted) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur >= wanted;
}

}  // namespace mt::test
