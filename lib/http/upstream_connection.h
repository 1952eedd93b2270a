#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/channel.h"
#include "http/input_buffer.h"
#include "http/tls.h"
#include "http/upstream_wait.h"

namespace mt::http {

/// An open connection to a server, ready for requests, and what came over it but is not used yet. Not thread-safe:
/// whoever has taken it uses it.
class UpstreamConnection {
  public:
    /// `channel` has done its handshake. `tls`: the session in it, null for a plain connection.
    UpstreamConnection(Channel channel, const TlsSession* tls) : m_channel(std::move(channel)), m_tls(tls) {}

    /// What one attempt to write did, without waiting.
    IoResult write(std::string_view bytes) { return m_channel.write(bytes); }
    /// Reads what is there into input(), without waiting. `ended`: orderly, so that nothing was cut off.
    IoResult read();
    /// Waits until something can be read, or (`to_write`) written. Results: as Patience::wait.
    Result<bool> wait(Patience& patience, bool to_write);

    [[nodiscard]] InputBuffer& input() { return m_input; }

    /// Closing will reset the connection: a request that was not sent to its end is not sent on.
    void reset_when_closed() const { m_channel.reset_when_closed(); }

    /// Nothing has come since the last reply, not even the end: fit for another request.
    [[nodiscard]] bool quiet() const;

  private:
    Channel m_channel;
    const TlsSession* m_tls;
    InputBuffer m_input{};
};

}  // namespace mt::http
