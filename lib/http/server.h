#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"
#include "http/message.h"

namespace mt::http {

/// Where to listen: a TCP address or a unix socket.
struct Address {
    std::string host = "127.0.0.1";  ///< numeric or a name; empty for a unix socket
    int port = 8080;                 ///< 0: any free port
    std::string unix_path{};         ///< not empty: a unix socket, made with mode 0600

    /// Loopback addresses and unix sockets cannot be reached from other machines.
    [[nodiscard]] bool is_loopback() const;
    /// What a client is given: "http://127.0.0.1:8080" or "unix:/path".
    [[nodiscard]] std::string url() const;
    [[nodiscard]] std::string to_string() const;  ///< "127.0.0.1:8080", "[::1]:8080", "unix:/path"
};

/// Reads "HOST:PORT", "[v6]:PORT", ":PORT" (all addresses), "PORT" (loopback) or "unix:PATH". Errors: invalid.
Result<Address> parse_address(std::string_view text);

struct ServerLimits {
    std::size_t max_head = 32UL * 1024;               ///< bytes of request line and header fields
    std::size_t max_fields = 100;                     ///< header fields
    std::size_t max_target = 8UL * 1024;              ///< bytes of the request target
    std::size_t max_body = 1024UL * 1024;             ///< bytes
    std::chrono::milliseconds head_timeout{10'000};   ///< from the first byte to the end of the head
    std::chrono::milliseconds body_timeout{30'000};   ///< from the end of the head to the end of the body
    std::chrono::milliseconds idle_timeout{60'000};   ///< between requests of a connection
    std::chrono::milliseconds write_timeout{30'000};  ///< a client that does not read
    int workers = 0;                          ///< threads that run the handler; 0: as many as usable CPUs, at least 4
    std::size_t max_queue = 4096;             ///< complete requests that wait for a worker; past it 503
    std::size_t max_connections = 1'000'000;  ///< open at the same time; further ones wait in the backlog
};

/// What a transport that refuses a message by itself (before any handler) asks for: a reply for this fault.
using FaultEncoder = std::function<Response(const Error&)>;

/// Tells whether an address can be listened on, by doing so for a moment. Errors: unavailable, invalid.
Result<void> check_available(const Address& address);

/// The HTTP/1.1 server: own listening and framing, cpp-httplib's parsing and writing (DESIGN section 2). One per
/// process and address. start() and stop() are called by one thread; the handler runs on worker threads.
class Server {
  public:
    /// `handler` answers complete requests; `encode_fault` gives the body for refusals of the transport itself (400,
    /// 408, 413, 414, 415, 417, 431, 501, 503, 505).
    Server(Handler handler, FaultEncoder encode_fault, const ServerLimits& limits, Log& log);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server();

    /// Binds, listens (backlog 511, no SO_REUSEPORT) and serves in background threads. Returns the bound address, with
    /// the real port. Errors: unavailable (address in use, not allowed), invalid (unknown host).
    Result<Address> start(const Address& address);

    /// Stops accepting, lets requests in flight finish for at most `drain`, then stops their tokens, waits for the
    /// handlers and closes everything. Idempotent.
    void stop(std::chrono::milliseconds drain);

    /// Connections open right now.
    [[nodiscard]] std::size_t connections() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt::http
