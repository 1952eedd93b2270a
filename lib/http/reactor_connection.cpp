#include <fmt/core.h>

#include <chrono>
#include <utility>

#include "http/forwarding.h"
#include "http/reactor.h"

namespace mt::http {
namespace {

using State = IoResult::State;

constexpr int k_moves_per_turn = 16;             // reads or writes: a fair share, then others come first
constexpr std::size_t k_modest = 64UL * 1024;    // bytes of a request that are taken however full the memory is
constexpr std::size_t k_progress = 16UL * 1024;  // bytes that a slow reader takes within the write timeout
constexpr std::chrono::seconds k_linger{2};
constexpr std::chrono::seconds k_retry_after_full{1};

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

// Gives the memory back, which an assignment or clear() would keep.
void release(std::string& text) {
    std::string().swap(text);
}

Error full(std::string_view why) {
    return Error{Code::busy, std::string(why), "overload", k_retry_after_full};
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
    // A TLS connection may have something to write of its own accord.
    const bool waits_to_write = connection.phase == Phase::writing || connection.channel.is_tls();
    if (gone || readable || waits_to_write) {
        advance(connection);
    }
}

// Reads and frames until the socket is empty, a request is complete, or the connection has had its share.
void Reactor::advance(Connection& connection) {
    if (connection.phase == Phase::lingering) {
        return discard(connection);
    }
    if (connection.phase == Phase::writing) {
        return flush(connection);
    }
    if (!connection.channel.ready() && !shake_hands(connection)) {
        return;
    }
    if (const std::string early = std::exchange(connection.pending, {}); !early.empty()) {
        if (!consume(connection, early, false)) {
            return;
        }
    }
    for (int i = 0; i < k_moves_per_turn; ++i) {
        const IoResult got = connection.channel.read(m_scratch);
        if (got.state == State::again) {
            return await_more(connection);
        }
        if (got.state != State::moved) {
            return close(connection);
        }
        // A short read has emptied the socket (epoll(7)); only the end of the stream can follow unannounced. Under TLS
        // it ends with a record.
        const bool drained = got.bytes < m_scratch.size() && !connection.half_closed && !connection.channel.is_tls();
        if (!consume(connection, {m_scratch.data(), got.bytes}, drained)) {
            return;
        }
        if (drained) {
            return await_more(connection);
        }
    }
    m_unfinished.push_back(connection.channel.fd());
    await_more(connection);
}

// False: the handshake goes on, or the connection is closed.
bool Reactor::shake_hands(Connection& connection) {
    const IoResult step = connection.channel.handshake();
    if (step.state == State::moved) {
        set_phase(connection, Phase::idle);
        return true;
    }
    if (step.state == State::again) {
        return false;
    }
    if (connection.channel.spoke_plain_http()) {
        const Error error{Code::invalid, "this port speaks HTTPS: use https://"};
        connection.channel.write_raw(fault_reply(connection, error, Persistence::close));
        linger(connection);
    } else {
        close(connection);
    }
    return false;
}

// False: a handler gets the connection, or it was refused. `drained`: the socket has nothing more for now.
bool Reactor::consume(Connection& connection, std::string_view bytes, bool drained) {
    const Result<bool> complete = connection.framer.feed(bytes);
    if (!complete) {
        refuse(connection, complete.error());
        return false;
    }
    const std::size_t held = connection.framer.held();
    connection.held.set(held);
    // Only who holds much is refused: others did not fill the memory.
    if (held > k_modest && m_around.load.buffered.load(std::memory_order_relaxed) > m_limits.max_buffered) {
        refuse(connection, full("the server holds too much of unanswered requests"));
        return false;
    }
    if (*complete) {
        connection.pending = bytes;
        dispatch(connection, drained);
        return false;
    }
    if (connection.framer.wants_continue()) {
        constexpr std::string_view k_continue = "HTTP/1.1 100 Continue\r\n\r\n";
        if (connection.channel.write(k_continue).bytes < k_continue.size()) {
            close(connection);  // a client that has left no room for these few bytes
            return false;
        }
    }
    return true;
}

void Reactor::dispatch(Connection& connection, bool drained) {
    connection.message = connection.framer.take();
    Request& request = connection.message.request;
    request.peer = connection.peer.trusted ? forwarded_client(request.fields, connection.peer.name, m_around.trusted)
                                           : connection.peer.name;
    request.loopback = connection.peer.loopback;
    connection.stop = std::stop_source{};
    connection.parking.reset();
    connection.phase = Phase::idle;
    connection.fresh = false;
    connection.held.set(request.body.capacity() + connection.pending.size());
    if (connection.half_closed) {
        connection.stop.request_stop();
    }
    connection.flags.store(k_busy | (drained ? 0U : k_readable) | (connection.half_closed ? k_gone : 0U));
    connection.ready_ns = m_now_ns;
    connection.in_flight.set(1);
    if (m_around.hooks.is_urgent && m_around.hooks.is_urgent(request)) {
        m_urgent.push_back(&connection);
    } else if (m_around.load.in_flight.load(std::memory_order_relaxed) > m_limits.max_in_flight) {
        overloaded(connection, "the server has too many requests in flight");
    } else {
        m_ready.push_back(&connection);
    }
}

void Reactor::await_more(Connection& connection) {
    const Phase phase = phase_of(connection.framer.progress());
    if (phase != connection.phase) {
        set_phase(connection, phase);
    }
    // Who has just connected is about to send something; close_unfinished() ends the wait.
    if (m_drain_end_ns != 0 && phase == Phase::idle && !connection.fresh) {
        close(connection);
    }
}

// Its handler is done, or to be run again.
void Reactor::returned(Connection& connection) {
    if (connection.parking.parked()) {
        m_ready.push_back(&connection);
        return;
    }
    const unsigned marks = connection.flags.exchange(0);
    connection.half_closed = connection.half_closed || (marks & k_gone) != 0;
    connection.in_flight.set(0);
    connection.held.set(connection.outgoing.capacity());
    if (connection.ending == Ending::cut) {
        return cut(connection);
    }
    // Nothing has come and nothing is left: the next event will tell.
    if (connection.outgoing.empty() && connection.ending == Ending::keep && connection.pending.empty() &&
        (marks & (k_readable | k_gone)) == 0 && m_drain_end_ns == 0) {
        return set_phase(connection, Phase::idle);
    }
    if (connection.outgoing.empty()) {
        return go_on(connection);
    }
    if (m_around.load.buffered.load(std::memory_order_relaxed) > m_limits.max_buffered) {
        return close(connection);  // a slow reader pays first
    }
    connection.progress_at = connection.sent + k_progress;
    set_phase(connection, Phase::writing);
    flush(connection);
}

// Writes what a slow reader has not taken yet.
void Reactor::flush(Connection& connection) {
    for (int i = 0; i < k_moves_per_turn; ++i) {
        const IoResult moved = connection.channel.write(std::string_view(connection.outgoing).substr(connection.sent));
        if (moved.state == State::again) {
            return;
        }
        if (moved.state != State::moved) {
            return close(connection);
        }
        connection.sent += moved.bytes;
        if (connection.sent == connection.outgoing.size()) {
            release(connection.outgoing);
            connection.held.set(0);
            return go_on(connection);
        }
        if (connection.sent >= connection.progress_at) {
            connection.progress_at = connection.sent + k_progress;
            set_phase(connection, Phase::writing);
        }
    }
    m_unfinished.push_back(connection.channel.fd());
}

// The reply is out.
void Reactor::go_on(Connection& connection) {
    if (connection.ending == Ending::close || m_abandon.load(std::memory_order_relaxed)) {
        return linger(connection);
    }
    set_phase(connection, Phase::idle);
    advance(connection);
}

// The message was read whole, so the connection may live on.
void Reactor::overloaded(Connection& connection, std::string_view why) {
    const unsigned marks = connection.flags.exchange(0);
    connection.half_closed = connection.half_closed || (marks & k_gone) != 0;
    connection.in_flight.set(0);
    connection.held.set(0);
    const bool keep = connection.message.keep_alive && connection.message.http11 && m_drain_end_ns == 0;
    const Error error = full(why);
    const std::string reply = fault_reply(connection, error, keep ? Persistence::keep : Persistence::close);
    Message().swap(connection.message);
    if (connection.channel.write(reply).bytes < reply.size() || !keep) {
        return linger(connection);
    }
    set_phase(connection, Phase::idle);
    m_unfinished.push_back(connection.channel.fd());
}

// What does not fit into the socket's buffer is lost: replies of the reactor are short and wait for nobody.
void Reactor::refuse(Connection& connection, const Error& error) {
    connection.channel.write(fault_reply(connection, error, Persistence::close));
    linger(connection);
}

std::string Reactor::fault_reply(const Connection& connection, const Error& error, Persistence persistence) {
    if (m_around.hooks.on_refusal) {
        m_around.hooks.on_refusal(error);
    }
    const Response fault = encode_fault(m_around.hooks.encode_fault, error);
    const bool bodiless = connection.framer.is_head_request() || connection.message.request.method == "HEAD";
    return bodiless ? format_head_only(fault, persistence, m_date) : format_reply(fault, persistence, m_date);
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
    connection.channel.end_writing();
    release(connection.pending);
    Framer unused(m_limits);
    std::swap(connection.framer, unused);
    connection.held.set(0);
    set_phase(connection, Phase::lingering);
    discard(connection);
}

void Reactor::discard(Connection& connection) {
    for (int i = 0; i < k_moves_per_turn; ++i) {
        const IoResult got = connection.channel.read_raw(m_scratch);
        if (got.state == State::again) {
            return;
        }
        if (got.state != State::moved) {
            return close(connection);
        }
    }
    m_unfinished.push_back(connection.channel.fd());
}

// HTTP/1.0 has no other way than a reset to tell that a body ended too early.
void Reactor::cut(Connection& connection) {
    if (!connection.message.http11) {
        connection.channel.reset_when_closed();
    }
    close(connection);
}

void Reactor::close(Connection& connection) {
    m_connections[static_cast<std::size_t>(connection.channel.fd())].reset();
    m_count.fetch_sub(1, std::memory_order_relaxed);
}

void Reactor::set_phase(Connection& connection, Phase phase) const {
    connection.phase = phase;
    std::chrono::nanoseconds patience = k_linger;
    switch (phase) {
        case Phase::idle:
            patience = m_limits.idle_timeout;
            break;
        case Phase::handshake:
        case Phase::head:
            patience = m_limits.head_timeout;
            break;
        case Phase::body:
            patience = m_limits.body_timeout;
            break;
        case Phase::writing:
            patience = m_limits.write_timeout;
            break;
        case Phase::lingering:
            break;
    }
    connection.deadline_ns = m_now_ns + patience.count();
}

}  // namespace mt::http
