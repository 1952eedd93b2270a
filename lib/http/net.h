#pragma once

#include <sys/socket.h>

#include <string>

#include "base/result.h"
#include "http/fd.h"
#include "http/server.h"

namespace mt::http {

/// The other end of a connection.
struct Peer {
    std::string name;       ///< numeric address, IPv4 also where it came mapped into IPv6; "unix"
    bool loopback = false;  ///< over loopback or a unix socket
    bool trusted = false;   ///< one of ServerLimits::trusted_proxies
};

/// Names what accept4() or getpeername() filled in.
Peer name_peer(const sockaddr_storage& address);

/// True for loopback addresses and "localhost"; other names are not resolved.
bool is_loopback_host(const std::string& host);

/// A listening socket (non-blocking, close-on-exec) and, for unix sockets, the file it made. Removes that file when it
/// closes, unless another server has replaced it.
class Listener {
  public:
    /// Binds and listens (backlog 511, SO_REUSEADDR, no SO_REUSEPORT). "::" takes IPv4 too. A unix socket is made with
    /// mode 0600, and the file of a dead server is replaced. Errors: unavailable (in use, not allowed), invalid.
    static Result<Listener> open(const Address& address);

    Listener(Listener&&) = default;
    Listener& operator=(Listener&&) = delete;
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener() { close(); }

    [[nodiscard]] int fd() const { return m_fd.get(); }
    /// With the real port.
    [[nodiscard]] const Address& address() const { return m_address; }
    /// From now on nobody gets into the queue of connections; those who are in can still be accepted.
    void turn_away() const;
    void close();

  private:
    Listener(UniqueFd fd, Address address);

    static Result<Listener> open_tcp(const Address& address);
    static Result<Listener> open_unix(const Address& address);

    UniqueFd m_fd;
    Address m_address;
    unsigned long m_device = 0;  ///< with m_inode: the socket file as it was made
    unsigned long m_inode = 0;
};

}  // namespace mt::http
