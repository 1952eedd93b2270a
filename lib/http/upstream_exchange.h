#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/response_head.h"
#include "http/upstream_connection.h"
#include "http/upstream_reply.h"
#include "http/upstream_wait.h"

namespace mt::http {

/// One request and the head of its reply, over one connection. Used by one thread.
class UpstreamExchange {
  public:
    struct Settings {
        const std::string& name;  ///< of the server, for messages
        std::size_t max_head;     ///< bytes
        bool to_head_request;     ///< the reply has no body whatever its head says
    };

    /// `request`: head and body as they go over the wire. All must outlive the object.
    UpstreamExchange(UpstreamConnection& connection, std::string_view request, const Settings& settings)
        : m_connection(connection), m_unsent(request), m_settings(settings), m_end(settings.max_head) {}

    /// Sends and reads side by side: a server may answer before it has read everything. Errors: upstream, timeout,
    /// client_gone, busy. The reply has no connection and no pool yet.
    Result<std::unique_ptr<UpstreamReply::State>> run(Patience& patience);

    /// Not a byte has come.
    [[nodiscard]] bool unheard() const { return !m_heard; }
    /// The whole request is on its way.
    [[nodiscard]] bool sent() const { return m_unsent.empty() && !m_deaf; }

  private:
    void write();
    Result<std::unique_ptr<UpstreamReply::State>> look();

    UpstreamConnection& m_connection;
    std::string_view m_unsent;
    const Settings& m_settings;
    HeadEnd m_end;
    bool m_heard = false;
    bool m_deaf = false;  ///< the server takes no more bytes
    int m_interim = 0;    ///< 1xx replies so far
};

}  // namespace mt::http
