#include "http/wire.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>

#include "base/blocking.h"
#include "base/clock.h"

namespace mt::http {

using State = IoResult::State;

// Writes until everything is out or the socket is full; returns how much, and why it ended.
std::size_t Wire::write_some(std::string_view bytes, State& state) {
    std::size_t written = 0;
    state = State::moved;
    while (written < bytes.size() && state == State::moved) {
        const IoResult moved = m_connection.channel.write(bytes.substr(written));
        state = moved.state;
        written += moved.bytes;
    }
    return written;
}

bool Wire::send_reply(std::string bytes) {
    m_connection.in_flight.set(0);  // a client that has its reply finds its place free
    State state = State::moved;
    const std::size_t written = write_some(bytes, state);
    if (state == State::again) {
        m_connection.outgoing = std::move(bytes);
        m_connection.sent = written;
    }
    return state == State::moved || state == State::again;
}

bool Wire::begin_stream(std::string_view head) {
    m_connection.channel.bound_unsent(m_limits.max_stream_buffer);
    return send_all(head);
}

bool Wire::send_all(std::string_view bytes) {
    State state = State::moved;
    bytes.remove_prefix(write_some(bytes, state));
    if (bytes.empty()) {
        return true;
    }
    const Result<BlockingRegion> region = BlockingRegion::enter();
    const std::int64_t deadline_ns = SystemClock{}.boot_ns() + std::chrono::nanoseconds{m_limits.write_timeout}.count();
    while (region && state == State::again && wait_writable(deadline_ns)) {
        bytes.remove_prefix(write_some(bytes, state));
    }
    return bytes.empty();
}

bool Wire::client_gone() const {
    return (m_connection.flags.load(std::memory_order_acquire) & k_gone) != 0;
}

bool Wire::wait_writable(std::int64_t deadline_ns) const {
    constexpr std::int64_t k_slice_ms = 100;  // how late an abandoned drain is noticed
    while (!m_abandon.load(std::memory_order_relaxed)) {
        const std::int64_t left_ms = (deadline_ns - SystemClock{}.boot_ns()) / 1'000'000;
        if (left_ms <= 0) {
            return false;
        }
        pollfd waiting{m_connection.channel.fd(), POLLOUT, 0};
        if (poll(&waiting, 1, static_cast<int>(std::min(left_ms, k_slice_ms))) > 0) {
            return true;  // an error shows at the next write
        }
    }
    return false;
}

}  // namespace mt::http
