#pragma once

#include <doctest/doctest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "http/fd.h"
#include "http/server.h"
#include "http/tls.h"
#include "support/certificate.h"

namespace mt::test {

/// How a test changes OpenSSL's client before it connects.
using Setup = std::function<void(SSL*)>;

inline std::shared_ptr<const http::TlsContext> fresh_context() {
    const Certificate files;
    const auto context = http::TlsContext::load({files.certificate(), files.key()});
    REQUIRE(context);
    return *context;
}

/// A session and OpenSSL's own client at the two ends of a socket. What the client says stays in memory until the test
/// carries it to the socket.
class Line {
  public:
    explicit Line(std::shared_ptr<const http::TlsContext> context = fresh_context(), const Setup& setup = {}) {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
        m_server_fd = http::UniqueFd(ends[0]);
        m_client_fd = http::UniqueFd(ends[1]);
        m_session = http::TlsSession::create(*context, ends[0]);
        REQUIRE(m_session);
        context.reset();  // a session lives on without it
        const std::unique_ptr<SSL_CTX, http::OpenSslFree> own(SSL_CTX_new(TLS_client_method()));
        m_client.reset(SSL_new(own.get()));
        m_to_client = BIO_new(BIO_s_mem());
        m_from_client = BIO_new(BIO_s_mem());
        SSL_set_bio(m_client.get(), m_to_client, m_from_client);
        SSL_set_connect_state(m_client.get());
        if (setup) {
            setup(m_client.get());
        }
    }

    http::TlsSession& session() { return *m_session; }
    SSL* client() { return m_client.get(); }
    [[nodiscard]] int client_fd() const { return m_client_fd.get(); }
    void leave() { m_client_fd.reset(); }
    /// Why the client's last step failed, as OpenSSL's SSL_R_ number.
    [[nodiscard]] int client_fault() const { return m_client_fault; }

    /// Moves what waits in the client's memory to the socket, `most` bytes at most, and what waits there back.
    std::size_t carry(std::size_t most = std::numeric_limits<std::size_t>::max()) {
        char bytes[16384];
        for (int got = 0; (got = BIO_read(m_from_client, bytes, sizeof(bytes))) > 0;) {
            m_outbox.append(bytes, static_cast<std::size_t>(got));
        }
        const ssize_t sent = send(m_client_fd.get(), m_outbox.data(), std::min(most, m_outbox.size()), MSG_NOSIGNAL);
        const std::size_t moved = sent > 0 ? static_cast<std::size_t>(sent) : 0;
        m_outbox.erase(0, moved);
        for (ssize_t got = 0; (got = recv(m_client_fd.get(), bytes, sizeof(bytes), 0)) > 0;) {
            BIO_write(m_to_client, bytes, static_cast<int>(got));
        }
        return moved;
    }

    int client_step() {
        ERR_clear_error();
        const int returned = SSL_do_handshake(m_client.get());
        m_client_fault = ERR_GET_REASON(ERR_peek_error());
        return returned;
    }

    /// Both sides until nothing moves; what the session said last.
    http::IoResult shake() {
        http::IoResult last{http::IoResult::State::again};
        for (int round = 0; round < 10 && last.state == http::IoResult::State::again; ++round) {
            client_step();
            carry();
            last = m_session->handshake();
        }
        carry();
        client_step();
        return last;
    }

    void client_says(const std::string& text) {
        REQUIRE(SSL_write(m_client.get(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()));
    }

    /// Everything that has come to the client.
    std::string client_hears() {
        carry();
        std::string text;
        char bytes[16384];
        for (int got = 0; (got = SSL_read(m_client.get(), bytes, sizeof(bytes))) > 0;) {
            text.append(bytes, static_cast<std::size_t>(got));
        }
        return text;
    }

  private:
    http::UniqueFd m_server_fd;
    http::UniqueFd m_client_fd;
    std::unique_ptr<http::TlsSession> m_session;
    std::unique_ptr<SSL, http::OpenSslFree> m_client;
    BIO* m_to_client = nullptr;
    BIO* m_from_client = nullptr;
    std::string m_outbox;
    int m_client_fault = 0;
};

/// A line with its handshake done.
struct OpenLine : Line {
    explicit OpenLine(const Setup& setup = {}) : Line(fresh_context(), setup) {
        REQUIRE(shake().state == http::IoResult::State::moved);
        REQUIRE(session().ready());
    }
};

}  // namespace mt::test
