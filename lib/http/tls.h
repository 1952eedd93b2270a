#pragma once

#include <openssl/bio.h>
#include <openssl/types.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mt::http {

struct TlsFiles;
struct TlsSocket;
class Trust;

/// What one attempt to move bytes did.
struct IoResult {
    /// again: wait for the socket (readable or writable, edge-triggered); ended: orderly end (close_notify or FIN);
    /// broken: error or reset.
    enum class State { moved, again, ended, broken };
    State state = State::broken;
    std::size_t bytes = 0;  ///< moved
};

/// Gives back what OpenSSL has allocated.
struct OpenSslFree {
    void operator()(SSL* session) const;
    void operator()(SSL_CTX* context) const;
    void operator()(X509_STORE* store) const;
};

/// What the sessions of one side share. A server's: its certificate and key, and what it accepts: TLS 1.2 or newer,
/// ALPN http/1.1 (a client that names protocols without it is refused, one that names none is served), no
/// renegotiation, session tickets. A client's: which server it wants and who vouches for it. Immutable; shared by
/// sessions, which may outlive it. Thread-safe.
class TlsContext {
  public:
    /// Reads both PEM files. Errors: config, naming the file and what is wrong with it (not readable, no certificate in
    /// it, key does not match, key is encrypted: nobody is asked for a passphrase).
    static Result<std::shared_ptr<const TlsContext>> load(const TlsFiles& files);

    /// For clients of the server `host`, a name (which is told to it, RFC 6066 section 3) or a numeric address. `trust`
    /// must vouch for its certificate; null: any will do. Errors: internal (no memory).
    static Result<std::shared_ptr<const TlsContext>> for_client(const std::string& host, const Trust* trust);

    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;
    ~TlsContext() = default;

  private:
    friend class TlsSession;
    explicit TlsContext(bool of_client);

    bool m_of_client;
    std::unique_ptr<SSL_CTX, OpenSslFree> m_context;
    std::string m_server_name{};              ///< for clients: what to tell the server; empty for a numeric address
    std::shared_ptr<BIO_METHOD> m_transport;  ///< how sessions reach their sockets
};

/// TLS on one connected non-blocking socket, on the side of its context. Does not own the socket, which must stay open
/// for as long as this is used. Not thread-safe; never waits and raises no SIGPIPE. Once something was `broken`,
/// everything is.
class TlsSession {
  public:
    /// Null when OpenSSL has no memory.
    static std::unique_ptr<TlsSession> create(const TlsContext& context, int fd);

    TlsSession(const TlsSession&) = delete;
    TlsSession& operator=(const TlsSession&) = delete;
    ~TlsSession();

    /// Goes on with the handshake. moved: it is done.
    IoResult handshake();
    /// The handshake is done.
    [[nodiscard]] bool ready() const { return m_ready; }
    /// The handshake failed because the client sent plain HTTP. Nothing was sent, so a plain reply can be.
    [[nodiscard]] bool spoke_plain_http() const;
    /// Reads at most one record's worth, which may be nothing. Call until `again`: the socket may be empty while bytes
    /// wait in here. A client that sends nothing but records without content is `broken` after some.
    IoResult read(std::span<char> out);
    /// May move only a part, a record at most. After `again` the next call must begin with the same bytes and have no
    /// fewer of them, but they may lie elsewhere.
    IoResult write(std::string_view bytes);
    /// What the last call that said `again` waits for: true when the socket must become writable, else readable.
    [[nodiscard]] bool wants_write() const;
    /// Bytes have come from the socket that no read has given out.
    [[nodiscard]] bool holds_bytes() const;
    /// The other side has said that nothing more will come (close_notify), so that nothing was cut off.
    [[nodiscard]] bool ended_orderly() const;
    /// After a failed handshake of a client: why the server's certificate is not trusted, or "" when that was not it.
    [[nodiscard]] std::string certificate_fault() const;
    /// Says that nothing more will come; best effort, does not wait. Reading goes on.
    void close_notify();

  private:
    TlsSession(const TlsContext& context, int fd);
    SSL* begin();
    IoResult conclude(int returned, std::size_t bytes);

    std::shared_ptr<BIO_METHOD> m_transport;  ///< outlives m_session, as does m_socket
    std::unique_ptr<TlsSocket> m_socket;
    std::unique_ptr<SSL, OpenSslFree> m_session;
    bool m_ready = false;
    bool m_broken = false;
    int m_empty_records = 0;  ///< without content, since the last one with
};

/// The authorities whose certificates a client believes. Immutable, thread-safe, shared by clients.
class Trust {
  public:
    /// What this machine trusts; the environment's SSL_CERT_FILE and SSL_CERT_DIR can name something else. May take a
    /// tenth of a second. Nothing is trusted when it cannot be read.
    static std::shared_ptr<const Trust> system();

    /// Makes sessions of `context` believe these authorities, for a server of this name or numeric address.
    void apply(SSL_CTX& context, const std::string& host) const;

  private:
    Trust();
    std::unique_ptr<X509_STORE, OpenSslFree> m_store;
};

/// Makes a client's `context` ask for what the server speaks: TLS 1.2 or newer, ALPN http/1.1.
void prepare_client(SSL_CTX& context);

/// Why OpenSSL failed, in its words: the oldest error since this thread's were cleared; empty when there is none.
std::string tls_fault();

}  // namespace mt::http
