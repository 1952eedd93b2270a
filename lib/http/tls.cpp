#include "http/tls.h"

#include <fmt/core.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <system_error>

#include "base/networks.h"
#include "http/server.h"

namespace mt::http {

/// What the functions of a transport know of their connection.
struct TlsSocket {
    int fd;
    bool ended = false;           ///< the call at hand has met the other side's FIN
    bool empty = false;           ///< the call at hand has found nothing more to read
    std::optional<char> first{};  ///< byte that came
};

namespace {

constexpr int k_most_empty_records = 32;

constexpr std::array<unsigned char, 9> k_protocols{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};  // RFC 7301 section 3.1

bool would_wait() {
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

int receive(BIO* bio, char* out, int size) {
    auto& socket = *static_cast<TlsSocket*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const ssize_t got = recv(socket.fd, out, static_cast<std::size_t>(size), 0);
    if (got > 0 && !socket.first) {
        socket.first = *out;
    } else if (got == 0) {
        socket.ended = true;
    } else if (got < 0 && would_wait()) {
        socket.empty = true;
        BIO_set_retry_read(bio);
    }
    return static_cast<int>(got);
}

// OpenSSL's own socket transport writes without MSG_NOSIGNAL: a client that left would kill the process.
int transmit(BIO* bio, const char* bytes, int size) {
    auto& socket = *static_cast<TlsSocket*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const ssize_t sent = send(socket.fd, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL);
    if (sent < 0 && would_wait()) {
        BIO_set_retry_write(bio);
    }
    return static_cast<int>(sent);
}

// BIO_CTRL_EOF stays unanswered: OpenSSL would take a FIN without close_notify for an attack and refuse to write the
// reply to a client that has closed only its own side.
long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD* make_transport() {
    BIO_METHOD* method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "socket without signals");
    if (method != nullptr) {
        BIO_meth_set_read(method, receive);
        BIO_meth_set_write(method, transmit);
        BIO_meth_set_ctrl(method, control);
    }
    return method;
}

// NOLINTNEXTLINE(readability-function-size): OpenSSL wants these parameters
int choose_protocol(SSL* /*session*/, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                    unsigned int size, void* /*nothing*/) {
    unsigned char* found = nullptr;
    const int outcome = SSL_select_next_proto(&found, length, k_protocols.data(), k_protocols.size(), offered, size);
    *chosen = found;
    return outcome == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Without this OpenSSL asks on the terminal.
int refuse_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* asked) {
    if (asked != nullptr) {
        *static_cast<bool*>(asked) = true;
    }
    return -1;
}

// What is wrong with a PEM file that should hold `thing`.
std::string file_fault(const char* thing) {
    const unsigned long fault = ERR_peek_error();
    const bool no_pem = ERR_GET_LIB(fault) == ERR_LIB_PEM && ERR_GET_REASON(fault) == PEM_R_NO_START_LINE;
    const bool undecodable = ERR_GET_LIB(fault) == ERR_LIB_OSSL_DECODER;
    return no_pem || undecodable ? fmt::format("holds no readable {} in PEM", thing) : tls_fault();
}

Result<void> use_files(SSL_CTX* context, const TlsFiles& files) {
    if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
        return Error{Code::config,
                     fmt::format("certificate file {}: {}", files.certificate, file_fault("certificate"))};
    }
    bool asked = false;
    SSL_CTX_set_default_passwd_cb_userdata(context, &asked);
    const bool read = SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(context, nullptr);
    if (asked) {
        return Error{Code::config, fmt::format("key file {}: is encrypted, write one without passphrase", files.key)};
    }
    const bool mismatch = ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_X509;
    if (!read && !mismatch) {
        return Error{Code::config, fmt::format("key file {}: {}", files.key, file_fault("private key"))};
    }
    if (!read || SSL_CTX_check_private_key(context) != 1) {
        return Error{Code::config,
                     fmt::format("key file {}: is not the key of the certificate in {}", files.key, files.certificate)};
    }
    return {};
}

void configure(SSL_CTX* context) {
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // Otherwise one call goes on for as long as a client sends records without content. Nor are records read ahead,
    // which would all be worked off by one call.
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

void configure_server(SSL_CTX* context) {
    configure(context);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
    SSL_CTX_set_default_passwd_cb(context, refuse_passphrase);
}

}  // namespace

void OpenSslFree::operator()(SSL* session) const {
    SSL_free(session);
}

void OpenSslFree::operator()(SSL_CTX* context) const {
    SSL_CTX_free(context);
}

void OpenSslFree::operator()(X509_STORE* store) const {
    X509_STORE_free(store);
}

TlsContext::TlsContext(bool of_client)
    : m_of_client(of_client),
      m_context(SSL_CTX_new(of_client ? TLS_client_method() : TLS_server_method())),
      m_transport(make_transport(), BIO_meth_free) {}

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const TlsFiles& files) {
    ERR_clear_error();
    const std::shared_ptr<const TlsContext> context(new TlsContext(false));
    if (!context->m_context || !context->m_transport) {
        return Error{Code::internal, fmt::format("no TLS: {}", tls_fault())};
    }
    configure_server(context->m_context.get());
    if (Result<void> used = use_files(context->m_context.get(), files); !used) {
        return std::move(used).error();
    }
    return context;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::for_client(const std::string& host, const Trust* trust) {
    ERR_clear_error();
    const std::shared_ptr<TlsContext> context(new TlsContext(true));
    if (!context->m_context || !context->m_transport) {
        return Error{Code::internal, fmt::format("no TLS: {}", tls_fault())};
    }
    context->m_server_name = parse_ip(host) ? "" : host;
    configure(context->m_context.get());
    prepare_client(*context->m_context);
    if (trust != nullptr) {
        trust->apply(*context->m_context, host);
        SSL_CTX_set_verify(context->m_context.get(), SSL_VERIFY_PEER, nullptr);
    }
    return std::shared_ptr<const TlsContext>(context);
}

TlsSession::TlsSession(const TlsContext& context, int fd)
    : m_transport(context.m_transport), m_socket(new TlsSocket{fd}), m_session(SSL_new(context.m_context.get())) {}

TlsSession::~TlsSession() = default;

std::unique_ptr<TlsSession> TlsSession::create(const TlsContext& context, int fd) {
    std::unique_ptr<TlsSession> session(new TlsSession(context, fd));
    BIO* bio = BIO_new(context.m_transport.get());
    if (!session->m_session || bio == nullptr) {
        BIO_free(bio);
        return nullptr;
    }
    BIO_set_data(bio, session->m_socket.get());
    BIO_set_init(bio, 1);
    SSL_set_bio(session->m_session.get(), bio, bio);
    if (!context.m_of_client) {
        SSL_set_accept_state(session->m_session.get());
        return session;
    }
    SSL_set_connect_state(session->m_session.get());
    // SSL_set_tlsext_host_name() in a form without a cast of its own (RFC 6066 section 3).
    std::string name = context.m_server_name;
    const bool named = name.empty() || SSL_ctrl(session->m_session.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME,
                                                TLSEXT_NAMETYPE_host_name, name.data()) == 1;
    return named ? std::move(session) : nullptr;
}

// SSL_get_error() also looks at what earlier calls, of anybody in this thread, have left.
SSL* TlsSession::begin() {
    ERR_clear_error();
    m_socket->ended = false;
    m_socket->empty = false;
    return m_session.get();
}

IoResult TlsSession::conclude(int returned, std::size_t bytes) {
    if (returned > 0) {
        return {IoResult::State::moved, bytes};
    }
    const int fault = SSL_get_error(m_session.get(), returned);
    if (fault == SSL_ERROR_WANT_READ || fault == SSL_ERROR_WANT_WRITE) {
        return {IoResult::State::again};
    }
    if (fault == SSL_ERROR_ZERO_RETURN || (fault == SSL_ERROR_SYSCALL && m_socket->ended)) {
        return {IoResult::State::ended};
    }
    m_broken = true;
    return {IoResult::State::broken};
}

IoResult TlsSession::handshake() {
    if (m_broken) {
        return {IoResult::State::broken};
    }
    const int returned = SSL_do_handshake(begin());
    m_ready = returned == 1;
    return conclude(returned, 0);
}

bool TlsSession::spoke_plain_http() const {
    // A method begins with a letter; no kind of TLS record does (RFC 8446 section 5.1).
    const char first = m_socket->first.value_or('\0');
    return m_broken && !m_ready && ((first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z'));
}

IoResult TlsSession::read(std::span<char> out) {
    if (m_broken || out.empty()) {
        return {m_broken ? IoResult::State::broken : IoResult::State::moved};
    }
    std::size_t got = 0;
    const int returned = SSL_read_ex(begin(), out.data(), out.size(), &got);
    const IoResult result = conclude(returned, got);
    if (result.state == IoResult::State::moved) {
        m_empty_records = 0;
    } else if (result.state == IoResult::State::again && !m_socket->empty && SSL_want_read(m_session.get()) == 1) {
        // A record without content (a key update, a ticket) has been read; more may wait.
        m_broken = ++m_empty_records > k_most_empty_records;
        return {m_broken ? IoResult::State::broken : IoResult::State::moved};
    }
    return result;
}

IoResult TlsSession::write(std::string_view bytes) {
    if (m_broken || bytes.empty()) {
        return {m_broken ? IoResult::State::broken : IoResult::State::moved};
    }
    std::size_t sent = 0;
    const int returned = SSL_write_ex(begin(), bytes.data(), bytes.size(), &sent);
    const IoResult result = conclude(returned, sent);
    // After the client's close_notify OpenSSL names that as the reason of every failure.
    m_broken = m_broken || result.state == IoResult::State::ended;
    return m_broken ? IoResult{} : result;
}

bool TlsSession::wants_write() const {
    return SSL_want_write(m_session.get());
}

bool TlsSession::holds_bytes() const {
    return SSL_has_pending(m_session.get()) == 1;
}

bool TlsSession::ended_orderly() const {
    return (SSL_get_shutdown(m_session.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
}

std::string TlsSession::certificate_fault() const {
    const long verdict = SSL_get_verify_result(m_session.get());
    const bool asked = SSL_get_verify_mode(m_session.get()) != SSL_VERIFY_NONE;
    return asked && verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : "";
}

void TlsSession::close_notify() {
    const bool said = (SSL_get_shutdown(m_session.get()) & SSL_SENT_SHUTDOWN) != 0;
    if (m_ready && !m_broken && !said) {
        SSL_shutdown(begin());
    }
}

Trust::Trust() : m_store(X509_STORE_new()) {}

std::shared_ptr<const Trust> Trust::system() {
    std::shared_ptr<Trust> trust(new Trust());
    if (trust->m_store) {
        X509_STORE_set_default_paths(trust->m_store.get());
    }
    return trust;
}

void Trust::apply(SSL_CTX& context, const std::string& host) const {
    X509_VERIFY_PARAM* wanted = SSL_CTX_get0_param(&context);
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const bool named = X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) == 1 ||
                       X509_VERIFY_PARAM_set1_host(wanted, host.c_str(), 0) == 1;
    // Without it the context has an empty store, which trusts nobody.
    if (named && m_store) {
        SSL_CTX_set1_cert_store(&context, m_store.get());
    }
}

void prepare_client(SSL_CTX& context) {
    SSL_CTX_set_min_proto_version(&context, TLS1_2_VERSION);
    SSL_CTX_set_alpn_protos(&context, k_protocols.data(), k_protocols.size());
}

std::string tls_fault() {
    const unsigned long fault = ERR_peek_error();  // the first is the cause, later ones its consequences
    if (ERR_SYSTEM_ERROR(fault)) {
        return std::generic_category().message(ERR_GET_REASON(fault));
    }
    const char* reason = ERR_reason_error_string(fault);
    return reason == nullptr ? "" : reason;
}

}  // namespace mt::http
