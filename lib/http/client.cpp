#include "http/client.h"

#include <fmt/core.h>
#include <httplib.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "base/units.h"
#include "http/grammar.h"
#include "http/request_head.h"
#include "http/tls.h"

namespace mt::http {
namespace {

constexpr int k_http_port = 80;
constexpr int k_https_port = 443;
constexpr std::size_t k_largest_body = 256UL * 1024 * 1024;  // bytes of a reply; more is an error, not an empty memory

Error bad_url(std::string_view text) {
    return Error{Code::invalid,
                 fmt::format("{} is no address: write http://HOST:PORT/PATH, https://HOST:PORT/PATH, HOST:PORT or "
                             "unix:PATH",
                             quote(text))};
}

// Removes "http://" or such from the front, if it is there.
bool take_scheme(std::string_view& rest, std::string_view scheme) {
    const bool there = equal_ignoring_case(rest.substr(0, scheme.size()), scheme);
    rest.remove_prefix(there ? scheme.size() : 0);
    return there;
}

std::unique_ptr<httplib::ClientImpl> make_client(const Url& url) {
    if (url.tls) {
        return std::make_unique<httplib::SSLClient>(url.host, url.port);
    }
    return std::make_unique<httplib::ClientImpl>(url.unix_path.empty() ? url.host : url.unix_path, url.port);
}

// Called by OpenSSL for each certificate of a chain; leaves in the context's std::string why one is not trusted.
int note_verdict(int good, X509_STORE_CTX* chain) {
    if (good != 1) {
        const auto* session =
            static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
        auto* verdict = static_cast<std::string*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(session)));
        *verdict = X509_verify_cert_error_string(X509_STORE_CTX_get_error(chain));
    }
    return good;
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
    constexpr std::string_view k_unix = "unix:";
    if (text.substr(0, k_unix.size()) == k_unix) {
        if (text.size() == k_unix.size()) {
            return bad_url(text);
        }
        return Url{"", 0, "/", std::string(text.substr(k_unix.size()))};
    }
    std::string_view rest = text;
    const bool tls = take_scheme(rest, "https://");
    if (!tls) {
        take_scheme(rest, "http://");
    }
    const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
    const std::string_view authority = rest.substr(0, end);
    if (!is_authority(authority) || authority.back() == ':' || !is_visible(rest) ||
        rest.find('#') != std::string_view::npos) {
        return bad_url(text);
    }
    Url url;
    url.tls = tls;
    url.port = tls ? k_https_port : k_http_port;
    url.path = rest.substr(end);
    if (url.path.empty() || url.path.front() != '/') {
        url.path.insert(0, "/");
    }
    const std::size_t bracket = authority.front() == '[' ? authority.find(']') : 0;
    const std::size_t colon = std::min(authority.find(':', bracket), authority.size());
    url.host = bracket == 0 ? authority.substr(0, colon) : authority.substr(1, bracket - 1);
    if (colon + 1 < authority.size()) {
        // is_authority() has checked that the port is a number up to 65535.
        url.port = static_cast<int>(*parse_integer(authority.substr(colon + 1)));
    }
    return url;
}

ClientOptions with_trust(const Url& url, ClientOptions options) {
    if (url.tls && options.verify && !options.trust) {
        options.trust = Trust::system();
    }
    return options;
}

struct Client::State {
    State(const Url& url, const ClientOptions& options);

    void prepare_tls(const Url& url, const ClientOptions& options);
    void drop_ended_connection();
    httplib::Request make_request(std::string_view method, std::string_view target, const Fields& fields,
                                  std::string_view body) const;
    [[nodiscard]] Error explain(httplib::Error fault, std::int64_t quiet_ns) const;
    [[nodiscard]] Error explain_tls(bool waited) const;

    std::string name;
    std::string host;
    std::string certificate_host;
    std::chrono::milliseconds timeout;
    bool tls;
    std::string verdict{};  ///< why the server's certificate is not trusted
    std::unique_ptr<httplib::ClientImpl> client;
};

Client::State::State(const Url& url, const ClientOptions& options)
    : name(server_name(url)),
      host(host_field(url)),
      certificate_host(url.host),
      timeout(options.timeout),
      tls(url.tls),
      client(make_client(url)) {
    if (!url.unix_path.empty()) {
        client->set_address_family(AF_UNIX);
    }
    client->set_keep_alive(true);
    client->set_tcp_nodelay(true);
    client->set_follow_location(false);
    client->set_decompress(false);
    client->set_url_encode(false);
    client->set_connection_timeout(timeout);
    client->set_read_timeout(timeout);
    client->set_write_timeout(timeout);
    if (tls) {
        prepare_tls(url, options);
    }
}

void Client::State::prepare_tls(const Url& url, const ClientOptions& options) {
    // httplib itself would look at the certificate after the handshake, and read the authorities once per client.
    client->enable_server_certificate_verification(false);
    SSL_CTX* context = static_cast<httplib::SSLClient&>(*client).ssl_context();
    if (context == nullptr) {
        return;  // no memory: httplib fails at the first request
    }
    prepare_client(*context);
    if (options.verify) {
        with_trust(url, options).trust->apply(*context, url.host);
        SSL_CTX_set_app_data(context, &verdict);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, note_verdict);
    }
}

// httplib takes a waiting close_notify for a sign of life and would lose the next request.
void Client::State::drop_ended_connection() {
    if (tls && client->is_socket_open() != 0) {
        pollfd waiting{client->socket(), POLLIN, 0};
        if (poll(&waiting, 1, 0) != 0) {
            client->stop();
        }
    }
}

httplib::Request Client::State::make_request(std::string_view method, std::string_view target, const Fields& fields,
                                             std::string_view body) const {
    httplib::Request request;
    request.method = method;
    request.path = target;
    request.body = body;
    for (const auto& [name_of_field, value] : fields) {
        request.headers.emplace(name_of_field, value);
    }
    if (!request.has_header("Host")) {
        request.headers.emplace("Host", host);
    }
    return request;
}

// httplib says "Read" for a cut reply, for no HTTP and for a timeout: only the time tells them apart.
Error Client::State::explain(httplib::Error fault, std::int64_t quiet_ns) const {
    const bool waited = quiet_ns >= std::chrono::nanoseconds{timeout}.count();
    switch (fault) {
        case httplib::Error::Connection:
        case httplib::Error::BindIPAddress:
            return Error{Code::unavailable, fmt::format("cannot connect to {}", name)};
        case httplib::Error::ConnectionTimeout:
            return Error{Code::timeout, fmt::format("no connection to {} within {}", name, format_duration(timeout))};
        case httplib::Error::SSLConnection:
            return explain_tls(waited);
        case httplib::Error::Canceled:
            return Error{Code::upstream, fmt::format("the reply of {} is larger than {}", name,
                                                     format_size(static_cast<std::int64_t>(k_largest_body)))};
        default:
            break;
    }
    if (waited) {
        return Error{Code::timeout, fmt::format("{} did not answer within {}", name, format_duration(timeout))};
    }
    return Error{Code::upstream, fmt::format("the reply of {} is cut or no HTTP", name)};
}

Error Client::State::explain_tls(bool waited) const {
    if (!verdict.empty()) {
        return Error{Code::unavailable,
                     fmt::format("the certificate of {} is not trusted: {}", certificate_host, verdict)};
    }
    if (waited) {
        return Error{Code::timeout, fmt::format("no TLS connection to {} within {}", name, format_duration(timeout))};
    }
    const std::string why = tls_fault();
    return Error{Code::unavailable,
                 fmt::format("no TLS connection to {}: {}", name, why.empty() ? "it closed the connection" : why)};
}

Client::Client(const Url& url, const ClientOptions& options) : m_state(std::make_unique<State>(url, options)) {
    // httplib's client writes without MSG_NOSIGNAL: a server that closes first would kill the process.
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the same value every time
    std::signal(SIGPIPE, SIG_IGN);
}

Client::~Client() = default;

Result<Response> Client::send(std::string_view method, std::string_view target, const Fields& fields,
                              std::string_view body) {
    if (Result<void> checked = check_request(method, target, fields); !checked) {
        return std::move(checked.error());
    }
    const SystemClock clock;
    httplib::Request request = m_state->make_request(method, target, fields, body);
    std::string content;
    std::int64_t last_ns = clock.boot_ns();
    request.content_receiver = [&](const char* bytes, std::size_t size, std::uint64_t, std::uint64_t) {
        last_ns = clock.boot_ns();
        content.append(bytes, std::min(size, k_largest_body - content.size()));
        return content.size() < k_largest_body;
    };
    m_state->drop_ended_connection();
    m_state->verdict.clear();
    ERR_clear_error();  // OpenSSL would take what another call left for a fault of this one
    httplib::Response raw;
    httplib::Error fault = httplib::Error::Success;
    if (!m_state->client->send(request, raw, fault)) {
        return m_state->explain(fault, clock.boot_ns() - last_ns);
    }
    Response response{raw.status, raw.get_header_value("Content-Type"), {}, std::move(content)};
    for (auto& [name, value] : raw.headers) {
        response.fields.emplace_back(name, value);
    }
    return response;
}

}  // namespace mt::http
