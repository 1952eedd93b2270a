#include "http/upstream_connection.h"

#include <poll.h>

namespace mt::http {

using State = IoResult::State;

IoResult UpstreamConnection::read() {
    IoResult result{State::moved};
    while (result.state == State::moved && result.bytes == 0) {  // a TLS record without content
        result = m_channel.read(m_input.room());
    }
    m_input.added(result.bytes);
    // Anybody can send a FIN: what nobody but the end of the connection ends may be cut by it.
    if (result.state == State::ended && m_tls != nullptr && !m_tls->ended_orderly()) {
        result.state = State::broken;
    }
    return result;
}

Result<bool> UpstreamConnection::wait(Patience& patience, bool to_write) {
    const bool write = to_write || (m_tls != nullptr && m_tls->wants_write());
    return patience.wait(m_channel.fd(), static_cast<short>(write ? POLLIN | POLLOUT : POLLIN));
}

bool UpstreamConnection::quiet() const {
    pollfd waiting{m_channel.fd(), POLLIN | POLLRDHUP, 0};
    return m_input.empty() && !(m_tls != nullptr && m_tls->holds_bytes()) && poll(&waiting, 1, 0) == 0;
}

}  // namespace mt::http
