#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "http/fd.h"
#include "http/tls.h"

namespace mt::http {

/// One connected non-blocking socket, plain or under TLS. Owns it, never waits. Not thread-safe: whoever owns the
/// connection at the moment uses it.
class Channel {
  public:
    /// `tls` is null for a plain connection.
    Channel(UniqueFd fd, std::unique_ptr<TlsSession> tls);

    [[nodiscard]] int fd() const { return m_fd.get(); }
    [[nodiscard]] bool is_tls() const { return m_tls != nullptr; }

    /// Ready for requests: plain, or the TLS handshake is done.
    [[nodiscard]] bool ready() const { return !m_tls || m_tls->ready(); }
    /// The next step of the TLS handshake; `moved`: done.
    IoResult handshake();
    /// The handshake failed because the client spoke plain HTTP.
    [[nodiscard]] bool spoke_plain_http() const { return m_tls && m_tls->spoke_plain_http(); }

    IoResult read(std::span<char> out);
    IoResult write(std::string_view bytes);
    /// Past TLS, for a client that sent plain HTTP to a TLS port, and for bytes that nobody will look at.
    IoResult read_raw(std::span<char> out) const;
    IoResult write_raw(std::string_view bytes) const;

    /// Says that nothing more will be written, best effort.
    void end_writing();
    /// Closing will reset the connection, so that the client notices that something is missing.
    void reset_when_closed() const;
    /// Bounds the bytes that the kernel keeps for a client that does not read. 0: the system's default.
    void bound_unsent(std::size_t bytes) const;

  private:
    UniqueFd m_fd;
    std::unique_ptr<TlsSession> m_tls;  // goes before the descriptor
};

}  // namespace mt::http
