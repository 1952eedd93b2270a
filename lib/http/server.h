#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

/// Bounds of the transport. All of them hold before anybody is authenticated.
struct ServerLimits {
    std::size_t max_head = 32UL * 1024;               ///< bytes of request line and header fields
    std::size_t max_fields = 100;                     ///< header fields
    std::size_t max_uri = 8UL * 1024;                 ///< bytes of the request target
    std::size_t max_body = 1024UL * 1024;             ///< bytes
    std::size_t max_buffered = 256UL * 1024 * 1024;   ///< bytes of unanswered requests and unread replies, in all
    std::chrono::milliseconds head_timeout{10'000};   ///< from the first byte to the end of the head
    std::chrono::milliseconds body_timeout{30'000};   ///< from the end of the head to the end of the body
    std::chrono::milliseconds idle_timeout{60'000};   ///< between requests of a connection
    std::chrono::milliseconds write_timeout{30'000};  ///< for a client that reads nothing
    std::size_t max_stream_buffer = 256UL * 1024;     ///< bytes of a stream that wait for a client that does not read
    int workers = 0;                                  ///< threads that run handlers; 0: as many as usable CPUs
    std::size_t max_blocking = 2048;                  ///< handlers that wait for something at the same time
    std::size_t max_in_flight = 4096;                 ///< complete requests without a reply; past it 503
    std::chrono::milliseconds queue_timeout{10'000};  ///< a complete request that waits longer gets 503
    std::size_t max_connections = 1'000'000;          ///< open at the same time; further ones wait in the backlog
    std::size_t max_connections_per_peer = 1024;      ///< of one address; not for loopback and trusted proxies
    std::vector<std::string> trusted_proxies{};       ///< networks ("10.0.0.0/8") whose forwarding fields are believed
};

/// What a transport that refuses a message by itself (before any handler) asks for: a reply for this fault.
using FaultEncoder = std::function<Response(const Error&)>;

/// Tells whether an address can be listened on, by doing so for a moment. Errors: unavailable, invalid.
Result<void> check_available(const Address& address);

/// What the server asks of its owner. All are called from many threads at once and must not throw.
struct Hooks {
    Handler handler;            ///< answers complete requests
    FaultEncoder encode_fault;  ///< the reply for a refusal of the transport itself; empty: plain text
    /// Told once of everything that the transport refuses before any handler: messages (invalid, too_large,
    /// request_timeout, ...) and connections (busy: too many of one address). May be empty.
    std::function<void(const Error&)> on_refusal{};
    /// True for requests that overtake all waiting ones and pass the cap on requests in flight: health checks. May be
    /// empty.
    std::function<bool(const Request&)> is_urgent{};
};

/// PEM files of a server's own certificate (with its chain) and private key.
struct TlsFiles {
    std::string certificate;
    std::string key;
};

/// The HTTP/1.1 server: own listening and framing, cpp-httplib's parsing and writing (DESIGN section 2). One per
/// process and address. start(), reload_tls() and stop() are called by one thread; the hooks run on the server's.
class Server {
  public:
    Server(Hooks hooks, const ServerLimits& limits, Log& log);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server();

    /// Binds, listens (backlog 511, no SO_REUSEPORT) and serves in background threads; over TLS (1.2 or newer, ALPN
    /// "http/1.1") when files are given. Returns the bound address, with the real port. Errors: unavailable (address in
    /// use, not allowed), invalid (unknown host, bad network in trusted_proxies), config (unusable TLS files).
    Result<Address> start(const Address& address, const std::optional<TlsFiles>& tls = std::nullopt);

    /// Reads certificate and key anew for connections to come; those that are open keep theirs. Without TLS nothing
    /// happens. Errors: config; the old ones then stay in use.
    Result<void> reload_tls();

    /// Takes what waits in the backlog, stops accepting, lets requests in flight finish for at most `drain`, then stops
    /// their tokens, waits for the handlers and closes everything. Idempotent.
    void stop(std::chrono::milliseconds drain);

    /// Connections open right now.
    [[nodiscard]] std::size_t connections() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt::http
