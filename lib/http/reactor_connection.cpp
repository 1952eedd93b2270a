#include <fmt/core.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "http/reactor.h"

namespace mt::http {
namespace {

constexpr int k_reads_per_turn = 16;  // a fair share: then others come first
constexpr std::chrono::seconds k_linger{2};

Phase phase_of(Framer::Progress progress) {
    switch (progress) {
        case Framer::Progress::empty:
            return Phase::idle;
        case Framer::Progress::head:
            return Phase::head;
        case Framer::Progress::body:
            break;
    }
    return Phase::body;
}

}  // namespace

void Reactor::on_activity(Connection& connection, std::uint32_t events) {
    const bool gone = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    const bool readable = (events & EPOLLIN) != 0;
    const unsigned before = connection.flags.fetch_or((gone ? k_gone : 0U) | (readable ? k_readable : 0U));
    if ((before & k_busy) != 0) {
        if (gone) {
            connection.stop.request_stop();
        }
        return;
    }
    connection.flags.store(0);
    connection.half_closed = connection.half_closed || gone;
    advance(connection);
}

// Reads and frames until the socket is empty, a request is complete, or the connection has had its share.
void Reactor::advance(Connection& connection) {
    if (connection.phase == Phase::lingering) {
        return discard(connection);
    }
    if (const std::string early = std::exchange(connection.pending, {}); !early.empty()) {
        if (!consume(connection, early, false)) {
            return;
        }
    }
    for (int i = 0; i < k_reads_per_turn; ++i) {
        const ssize_t got = recv(connection.fd.get(), m_scratch.data(), m_scratch.size(), 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            return close(connection);
        }
        if (got < 0 && errno == EAGAIN) {
            return await_more(connection);
        }
        if (got < 0) {
            continue;
        }
        // A short read has emptied the socket (epoll(7)); only the end of the stream can follow unannounced.
        const bool drained = static_cast<std::size_t>(got) < m_scratch.size() && !connection.half_closed;
        if (!consume(connection, {m_scratch.data(), static_cast<std::size_t>(got)}, drained)) {
            return;
        }
        if (drained) {
            return await_more(connection);
        }
    }
    m_unfinished.push_back(connection.fd.get());
    await_more(connection);
}

// False: a worker gets the connection, or it was refused. `drained`: the socket has nothing more for now.
bool Reactor::consume(Connection& connection, std::string_view bytes, bool drained) {
    const Result<bool> complete = connection.framer.feed(bytes);
    if (!complete) {
        refuse(connection, complete.error());
        return false;
    }
    if (*complete) {
        connection.pending = bytes;
        dispatch(connection, drained);
        return false;
    }
    if (connection.framer.wants_continue()) {
        send_now(connection, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    return true;
}

void Reactor::dispatch(Connection& connection, bool drained) {
    connection.message = connection.framer.take();
    connection.message.request.peer = connection.peer;
    connection.message.request.loopback = connection.loopback;
    connection.stop = std::stop_source{};
    connection.phase = Phase::idle;  // as it will be when the worker gives it back
    if (connection.half_closed) {
        connection.stop.request_stop();
    }
    connection.flags.store(k_busy | (drained ? 0U : k_readable) | (connection.half_closed ? k_gone : 0U));
    m_ready.push_back(&connection);
}

void Reactor::await_more(Connection& connection) {
    const Phase phase = phase_of(connection.framer.progress());
    if (phase != connection.phase) {
        set_phase(connection, phase);
    }
    if (m_drain_end_ns != 0 && phase == Phase::idle) {
        close(connection);
    }
}

void Reactor::returned(Connection& connection) {
    const unsigned marks = connection.flags.exchange(0);
    connection.half_closed = connection.half_closed || (marks & k_gone) != 0;
    if (connection.ending == Ending::cut) {
        return cut(connection);
    }
    if (connection.ending == Ending::close || m_abandon.load(std::memory_order_relaxed)) {
        return linger(connection);
    }
    set_phase(connection, Phase::idle);
    advance(connection);
}

// The queue before the workers is full. The message was read whole, so the connection may live on.
void Reactor::overloaded(Connection& connection) {
    connection.flags.store(0);
    const Error error{Code::busy, "the server has too many requests waiting", "queue", std::chrono::seconds{1}};
    const bool keep = connection.message.keep_alive && connection.message.http11 && m_drain_end_ns == 0;
    const Response fault = encode_fault(m_encode, error);
    const Persistence persistence = keep ? Persistence::keep : Persistence::close;
    const std::string reply = connection.message.request.method == "HEAD" ? format_head_only(fault, persistence, m_date)
                                                                          : format_reply(fault, persistence, m_date);
    connection.message = {};
    if (!send_now(connection, reply) || !keep) {
        return linger(connection);
    }
    set_phase(connection, Phase::idle);
    m_unfinished.push_back(connection.fd.get());
}

void Reactor::refuse(Connection& connection, const Error& error) {
    send_now(connection, format_reply(encode_fault(m_encode, error), Persistence::close, m_date));
    linger(connection);
}

void Reactor::expire(Connection& connection) {
    if (connection.phase == Phase::head || connection.phase == Phase::body) {
        const char* part = connection.phase == Phase::head ? "head" : "body";
        return refuse(connection,
                      Error{Code::request_timeout, fmt::format("the {} of the request came too slowly", part)});
    }
    close(connection);
}

// Closing with unread input would make the kernel reset the connection and destroy a reply that is still on its way
// (RFC 9112 section 9.6): say that nothing more will come, then read on for a moment.
void Reactor::linger(Connection& connection) {
    if (m_abandon.load(std::memory_order_relaxed)) {
        return close(connection);
    }
    shutdown(connection.fd.get(), SHUT_WR);
    connection.pending = {};
    set_phase(connection, Phase::lingering);
    discard(connection);
}

void Reactor::discard(Connection& connection) {
    for (int i = 0; i < k_reads_per_turn; ++i) {
        const ssize_t got = recv(connection.fd.get(), m_scratch.data(), m_scratch.size(), 0);
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return close(connection);
        }
    }
    m_unfinished.push_back(connection.fd.get());
}

// HTTP/1.0 has no other way than a reset to tell that a body ended too early.
void Reactor::cut(Connection& connection) {
    if (!connection.message.http11) {
        const ::linger reset{1, 0};
        setsockopt(connection.fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
    close(connection);
}

void Reactor::close(Connection& connection) {
    m_connections[static_cast<std::size_t>(connection.fd.get())].reset();
    m_count.fetch_sub(1, std::memory_order_relaxed);
}

void Reactor::set_phase(Connection& connection, Phase phase) const {
    connection.phase = phase;
    std::chrono::nanoseconds patience = k_linger;
    switch (phase) {
        case Phase::idle:
            patience = m_limits.idle_timeout;
            break;
        case Phase::head:
            patience = m_limits.head_timeout;
            break;
        case Phase::body:
            patience = m_limits.body_timeout;
            break;
        case Phase::lingering:
            break;
    }
    connection.deadline_ns.store(m_now_ns + patience.count(), std::memory_order_relaxed);
}

// What does not fit into the socket's buffer is lost: replies of the reactor are short and wait for nobody.
bool Reactor::send_now(const Connection& connection, std::string_view bytes) const {
    const ssize_t sent = send(connection.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent >= 0 && static_cast<std::size_t>(sent) == bytes.size();
}

}  // namespace mt::http
