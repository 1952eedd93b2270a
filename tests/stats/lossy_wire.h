#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace mt::test {

/// A wire on loopback between a client and a server that can break at a commit: before the server hears of it, or
/// before the client hears the answer.
class LossyWire {
  public:
    enum class Mode { whole, lose_request, lose_reply };

    explicit LossyWire(int server_port) : m_server_port(server_port), m_listener(socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address = loopback(0);
        socklen_t size = sizeof address;
        if (bind(m_listener, as_sockaddr(address), size) != 0 || listen(m_listener, 16) != 0 ||
            getsockname(m_listener, as_sockaddr(address), &size) != 0) {
            throw std::runtime_error("no port for a wire");
        }
        m_port = ntohs(address.sin_port);
        m_thread = std::jthread([this](const std::stop_token& stop) { accept_all(stop); });
    }
    LossyWire(const LossyWire&) = delete;
    LossyWire& operator=(const LossyWire&) = delete;
    ~LossyWire() {
        m_thread.request_stop();
        m_thread.join();
        m_relays.clear();
        close(m_listener);
    }

    [[nodiscard]] int port() const { return m_port; }
    /// From the next commit on.
    void set(Mode mode) { m_mode = mode; }
    /// How often it broke.
    [[nodiscard]] int broken() const { return m_broken; }

  private:
    // The whole text of a query, with its end: a transaction begins as READ COMMITTED.
    static constexpr std::string_view k_commit{"COMMIT\0", 7};

    static sockaddr_in loopback(int port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return address;
    }
    static sockaddr* as_sockaddr(sockaddr_in& address) {
        return reinterpret_cast<sockaddr*>(&address);  // NOLINT(cppcoreguidelines-pro-type-reinterpret-cast)
    }

    void accept_all(const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            pollfd ready{m_listener, POLLIN, 0};
            if (poll(&ready, 1, 20) <= 0) {
                continue;
            }
            const int client = accept(m_listener, nullptr, nullptr);
            const int server = socket(AF_INET, SOCK_STREAM, 0);
            sockaddr_in address = loopback(m_server_port);
            if (connect(server, as_sockaddr(address), sizeof address) == 0) {
                m_relays.emplace_back([this, client, server](const std::stop_token& end) {
                    relay(client, server, end);
                    close(client);
                    close(server);
                });
            } else {
                close(client);
                close(server);
            }
        }
    }

    // Ends with either side, or with the wire.
    void relay(int client, int server, const std::stop_token& stop) {
        bool committing = false;
        while (!stop.stop_requested()) {
            std::array<pollfd, 2> ready{pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
            if (poll(ready.data(), ready.size(), 20) <= 0) {
                continue;
            }
            for (const pollfd& side : ready) {
                if (side.revents == 0) {
                    continue;
                }
                std::array<char, 65536> bytes{};
                const ssize_t count = read(side.fd, bytes.data(), bytes.size());
                if (count <= 0) {
                    return;
                }
                const std::string_view text(bytes.data(), static_cast<std::size_t>(count));
                const bool commit = side.fd == client && text.find(k_commit) != std::string_view::npos;
                committing = committing || (commit && m_mode == Mode::lose_reply);
                if ((commit && m_mode == Mode::lose_request) || (committing && side.fd == server)) {
                    ++m_broken;
                    return;
                }
                if (!send_all(side.fd == client ? server : client, text)) {
                    return;
                }
            }
        }
    }

    static bool send_all(int fd, std::string_view text) {
        while (!text.empty()) {
            const ssize_t count = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
            if (count <= 0) {
                return false;
            }
            text.remove_prefix(static_cast<std::size_t>(count));
        }
        return true;
    }

    const int m_server_port;
    const int m_listener;
    int m_port = 0;
    std::atomic<Mode> m_mode{Mode::whole};
    std::atomic<int> m_broken{0};
    std::vector<std::jthread> m_relays;  // of m_thread
    std::jthread m_thread;
};

}  // namespace mt::test
