#include "http/connector.h"

#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <system_error>
#include <utility>

#include "base/units.h"
#include "http/request_head.h"

namespace mt::http {
namespace {

constexpr std::size_t k_most_addresses = 16;  // tried for one connection

// Where nothing was sent, whatever the fault: trying again does no harm.
Error no_connection(std::string message) {
    return Error{Code::unavailable, std::move(message), "connect"};
}

// connect() makes a message of it.
Error late(const char* what = "connection") {
    return Error{Code::timeout, what, "connect"};
}

Error refused_by_rule(const std::string& name) {
    return Error{Code::forbidden, fmt::format("{} is at no address that may be connected to", name), "address"};
}

std::string text_of_errno(int code) {
    return std::generic_category().message(code);
}

Result<std::shared_ptr<const TlsContext>> tls_for(const Url& url, const UpstreamOptions& options) {
    if (!url.tls) {
        return std::shared_ptr<const TlsContext>();
    }
    std::shared_ptr<const Trust> trust = options.trust;
    if (options.verify && !trust) {
        trust = Trust::system();
    }
    return TlsContext::for_client(url.host, options.verify ? trust.get() : nullptr);
}

Result<Endpoint> unix_endpoint(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (path.size() >= sizeof(name.sun_path)) {
        return no_connection(fmt::format("cannot connect to unix:{}: the path is too long", path));
    }
    path.copy(name.sun_path, sizeof(name.sun_path) - 1);
    return Endpoint::from(*static_cast<const sockaddr*>(static_cast<const void*>(&name)), sizeof(name));
}

// 0 or why not, as errno.
int start_connecting(int fd, const Endpoint& endpoint) {
    const auto* address = static_cast<const sockaddr*>(static_cast<const void*>(&endpoint.address));
    return ::connect(fd, address, endpoint.size) == 0 ? 0 : errno;
}

// The same, once it is known.
Result<int> finish_connecting(int fd, Patience& patience, std::int64_t until_ns) {
    pollfd connecting{fd, POLLOUT, 0};
    if (poll(&connecting, 1, 0) == 0) {  // else it is a server on this machine
        const Result<bool> done = patience.wait(fd, POLLOUT, until_ns);
        if (!done || !*done) {
            return done ? late() : done.error();
        }
    }
    int fault = 0;
    socklen_t size = sizeof(fault);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &size);
    return fault;
}

}  // namespace

Connector::Connector(const Url& url, const UpstreamOptions& options)
    : m_url(url),
      m_name(server_name(url)),
      m_timeout(options.connect_timeout),
      m_rule(options.rule),
      m_tls(tls_for(url, options)),
      m_resolver(url.host, m_clock) {}

Result<std::unique_ptr<UpstreamConnection>> Connector::connect(Patience& patience) {
    const std::int64_t until_ns =
        std::min(patience.deadline_ns(), m_clock.boot_ns() + std::chrono::nanoseconds{m_timeout}.count());
    Result<UniqueFd> fd = reach(patience, until_ns);
    Result<std::unique_ptr<UpstreamConnection>> connection =
        fd ? shake_hands(std::move(*fd), patience, until_ns) : std::move(fd).error();
    if (!connection && connection.error().code == Code::timeout) {
        const bool own = until_ns < patience.deadline_ns();
        connection.error().message =
            fmt::format("no {} to {} {}", connection.error().message, m_name,
                        own ? fmt::format("within {}", format_duration(m_timeout)) : "in time");
    }
    return connection;
}

Result<UniqueFd> Connector::reach(Patience& patience, std::int64_t until_ns) {
    if (!m_url.unix_path.empty()) {
        if (m_rule.public_only && !m_rule.exceptions.contains("unix")) {
            return refused_by_rule(m_name);
        }
        const Result<Endpoint> endpoint = unix_endpoint(m_url.unix_path);
        return endpoint ? reach_one(*endpoint, patience, until_ns) : endpoint.error();
    }
    Result<Endpoints> endpoints = m_resolver.resolve(patience, until_ns);
    if (!endpoints) {
        Error& error = endpoints.error();
        if (error.code == Code::timeout) {
            return late();
        }
        if (error.code == Code::unavailable) {
            return no_connection(fmt::format("cannot connect to {}: {}", m_name, error.message));
        }
        return std::move(error);
    }
    return reach_any(*endpoints, patience, until_ns);
}

// One allowed address after the other. Each gets its share of the time that is left, so that one which swallows
// everything leaves some to the next.
Result<UniqueFd> Connector::reach_any(const Endpoints& endpoints, Patience& patience, std::int64_t until_ns) const {
    Endpoints allowed;
    std::copy_if(endpoints.begin(), endpoints.end(), std::back_inserter(allowed),
                 [&](const Endpoint& endpoint) { return m_rule.allows(endpoint.text); });
    allowed.resize(std::min(allowed.size(), k_most_addresses));
    Result<UniqueFd> fd = refused_by_rule(m_name);
    for (std::size_t i = 0; i < allowed.size(); ++i) {
        allowed[i].set_port(m_url.port);
        const std::int64_t now_ns = m_clock.boot_ns();
        const std::int64_t share_ns = (until_ns - now_ns) / static_cast<std::int64_t>(allowed.size() - i);
        fd = reach_one(allowed[i], patience, now_ns + share_ns);
        if (fd || (fd.error().code != Code::unavailable && fd.error().code != Code::timeout)) {
            break;
        }
    }
    return fd;
}

Result<UniqueFd> Connector::reach_one(const Endpoint& endpoint, Patience& patience, std::int64_t until_ns) const {
    constexpr std::int64_t k_pause_ns = 2'000'000;
    const int family = endpoint.address.ss_family;
    UniqueFd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd && (errno == EMFILE || errno == ENFILE)) {  // no fault of the server's
        return Error{Code::busy, "no more files may be opened", "overload", std::chrono::seconds{1}};
    }
    if (!fd) {
        return no_connection(fmt::format("cannot connect to {}: {}", m_name, text_of_errno(errno)));
    }
    const int on = 1;
    if (family != AF_UNIX) {
        setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    int fault = start_connecting(fd.get(), endpoint);
    while (fault == EAGAIN && m_clock.boot_ns() < until_ns) {  // a unix socket whose backlog is full
        const Result<bool> paused = patience.wait(-1, 0, std::min(until_ns, m_clock.boot_ns() + k_pause_ns));
        if (!paused) {
            return paused.error();
        }
        fault = start_connecting(fd.get(), endpoint);
    }
    if (fault == EINPROGRESS) {
        const Result<int> finished = finish_connecting(fd.get(), patience, until_ns);
        if (!finished) {
            return finished.error();
        }
        fault = *finished;
    }
    if (fault == EAGAIN) {
        return late();
    }
    if (fault != 0) {
        return no_connection(fmt::format("cannot connect to {}: {}", m_name, text_of_errno(fault)));
    }
    return fd;
}

Result<std::unique_ptr<UpstreamConnection>> Connector::shake_hands(UniqueFd fd, Patience& patience,
                                                                   std::int64_t until_ns) const {
    if (!m_tls) {
        return no_connection(m_tls.error().message);
    }
    std::unique_ptr<TlsSession> session;
    if (*m_tls) {
        session = TlsSession::create(**m_tls, fd.get());
        if (!session) {
            return no_connection(fmt::format("no TLS connection to {}: {}", m_name, tls_fault()));
        }
    }
    TlsSession* tls = session.get();
    const int socket = fd.get();
    Channel channel(std::move(fd), std::move(session));
    for (IoResult step = channel.handshake(); step.state != IoResult::State::moved; step = channel.handshake()) {
        if (step.state != IoResult::State::again) {
            return tls_failed(*tls);
        }
        const Result<bool> ready = patience.wait(socket, tls->wants_write() ? POLLOUT : POLLIN, until_ns);
        if (!ready || !*ready) {
            return ready ? late("TLS connection") : ready.error();
        }
    }
    return std::make_unique<UpstreamConnection>(std::move(channel), tls);
}

Error Connector::tls_failed(const TlsSession& session) const {
    const std::string verdict = session.certificate_fault();
    if (!verdict.empty()) {
        return no_connection(fmt::format("the certificate of {} is not trusted: {}", m_url.host, verdict));
    }
    const std::string why = tls_fault();
    return no_connection(
        fmt::format("no TLS connection to {}: {}", m_name, why.empty() ? "it closed the connection" : why));
}

}  // namespace mt::http
