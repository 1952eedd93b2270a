#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/networks.h"
#include "base/result.h"
#include "http/client.h"
#include "http/message.h"

namespace mt::http {

/// Which addresses may be connected to. Checked for each address that a name resolves to, right before connecting to
/// exactly that address, so that a name cannot change its mind in between.
struct AddressRule {
    bool public_only = false;  ///< refuse loopback, private, link-local, shared, multicast and reserved addresses
    Networks exceptions{};     ///< allowed all the same

    /// `address`: numeric IPv4 or IPv6. Addresses that carry an IPv4 one (mapped, NAT64, 6to4) are judged by it.
    /// (IANA special-purpose address registries, RFC 6890.)
    [[nodiscard]] bool allows(std::string_view address) const;
};

struct UpstreamOptions {
    std::chrono::milliseconds connect_timeout{5'000};  ///< for resolving, connecting and the TLS handshake together
    /// A connection that was unused for longer is never used again. It is closed when the next request looks.
    std::chrono::milliseconds idle_time{30'000};
    std::size_t max_idle = 256;            ///< unused connections that are kept
    std::size_t max_head = 64UL * 1024;    ///< bytes of a reply's head
    bool verify = true;                    ///< over TLS: speak only to a server whose certificate is trusted
    std::shared_ptr<const Trust> trust{};  ///< who vouches for it; null: the system's authorities
    AddressRule rule{};
};

struct UpstreamRequest {
    std::string_view method = "POST";
    std::string_view target = "/";  ///< path and query
    Fields fields{};                ///< beside Host, Content-Length and Transfer-Encoding, which are not to be given
    std::string_view body{};
};

/// The reply to one request, its body read piece by piece as it arrives. Destroying it before the end closes the
/// connection; at the end the connection goes back to its Upstream, which must outlive it. Used by one thread.
class UpstreamReply {
  public:
    struct State;
    explicit UpstreamReply(std::unique_ptr<State> state);
    UpstreamReply(UpstreamReply&& other) noexcept;
    UpstreamReply& operator=(UpstreamReply&& other) noexcept;
    ~UpstreamReply();

    [[nodiscard]] int status() const;
    /// First field of that name (case-insensitive).
    [[nodiscard]] std::optional<std::string_view> field(std::string_view name) const;

    /// The next bytes of the body, as many as there are (at most 64 KiB), valid until the next call; empty at the end.
    /// Waits until `deadline_ns` (Clock::boot_ns) or the context's, whichever is earlier, and calls the context's idle
    /// hook while it waits. Errors: client_gone (the context's token fired; noticed within 10 ms), timeout, busy (too
    /// many threads wait already), after all of which reading can go on; upstream (cut, reset, no HTTP).
    Result<std::string_view> read(const Context& context, std::int64_t deadline_ns);

    /// The whole rest of the body, at most `max_bytes`. Errors: as read, and upstream (too large).
    Result<std::string> read_all(const Context& context, std::int64_t deadline_ns, std::size_t max_bytes);

  private:
    std::unique_ptr<State> m_state;
};

/// Keep-alive connections to one server, shared by all requests for it. A request takes an unused connection or makes
/// one; a kept connection that the server has closed meanwhile is replaced without anybody noticing, as long as no byte
/// of a reply has come. Names are resolved off the request's thread and remembered for a while. No redirects are
/// followed. Thread-safe. Enters a BlockingRegion as soon as it has to wait.
class Upstream {
  public:
    Upstream(const Url& url, const UpstreamOptions& options);
    Upstream(const Upstream&) = delete;
    Upstream& operator=(const Upstream&) = delete;
    ~Upstream();

    /// Sends a request and reads the head of the reply; 1xx are skipped. The same bounds as UpstreamReply::read.
    /// Errors: unavailable with reason "connect" (no address, refused, no route, TLS failed, certificate not trusted:
    /// nothing was sent), forbidden with reason "address" (the rule allows none of its addresses), timeout with reason
    /// "connect" when there was no connection in time and without a reason later, upstream (reset, cut, no HTTP),
    /// client_gone, busy (too many threads wait already), invalid (bytes that no request may hold). No message holds a
    /// field's value.
    Result<UpstreamReply> send(const UpstreamRequest& request, const Context& context, std::int64_t deadline_ns);

    /// Connections that are kept unused right now.
    [[nodiscard]] std::size_t idle_connections() const;
    /// "api.example.com:443", for messages.
    [[nodiscard]] const std::string& name() const;

  private:
    struct State;
    std::shared_ptr<State> m_state;
};

}  // namespace mt::http
