#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "http/fd.h"

namespace mt::app {

/// Tells a service manager how the service is, by the protocol of sd_notify(3): one datagram of NAME=VALUE lines to the
/// unix socket that NOTIFY_SOCKET names. Without that variable nothing is told to anybody, and a manager that does not
/// listen changes nothing: the first fault is logged at debug, the others are silent. Used by one thread.
class Notifier {
  public:
    /// `address`: what NOTIFY_SOCKET says, a path or, behind '@', an abstract name (unix(7)). The log outlives this.
    Notifier(const std::optional<std::string>& address, Log& log);

    /// The service listens, at first or again after reloading().
    void ready(std::string_view status);
    /// The configuration is read anew; ready() has to follow.
    void reloading(std::string_view status);
    /// The service is about to end.
    void stopping(std::string_view status);
    /// One line for a person: what goes on.
    void status(std::string_view text);

  private:
    void send(std::string_view lines);
    void complain(std::string_view what);

    Log& m_log;
    std::string m_address;
    http::UniqueFd m_fd;
    bool m_complained = false;
};

}  // namespace mt::app
