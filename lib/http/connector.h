#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "http/client.h"
#include "http/resolver.h"
#include "http/tls.h"
#include "http/upstream.h"
#include "http/upstream_connection.h"
#include "http/upstream_wait.h"

namespace mt::http {

/// Makes connections to one server: resolves its name, asks the address rule, connects, does the TLS handshake.
/// Thread-safe.
class Connector {
  public:
    /// Reads the system's authorities when the server speaks TLS and `options` name none.
    Connector(const Url& url, const UpstreamOptions& options);

    /// Errors: as Upstream::send.
    Result<std::unique_ptr<UpstreamConnection>> connect(Patience& patience);

  private:
    Result<UniqueFd> reach(Patience& patience, std::int64_t until_ns);
    Result<UniqueFd> reach_any(const Endpoints& endpoints, Patience& patience, std::int64_t until_ns) const;
    Result<UniqueFd> reach_one(const Endpoint& endpoint, Patience& patience, std::int64_t until_ns) const;
    Result<std::unique_ptr<UpstreamConnection>> shake_hands(UniqueFd fd, Patience& patience,
                                                            std::int64_t until_ns) const;
    [[nodiscard]] Error tls_failed(const TlsSession& session) const;

    Url m_url;
    std::string m_name;
    std::chrono::milliseconds m_timeout;
    AddressRule m_rule;
    Result<std::shared_ptr<const TlsContext>> m_tls;  ///< null: plain
    SystemClock m_clock{};
    Resolver m_resolver;  ///< last: its thread uses the clock
};

}  // namespace mt::http
