#pragma once

#include <memory>

#include "base/log.h"
#include "http/connection.h"
#include "http/exchange.h"
#include "http/message.h"
#include "http/server.h"

namespace mt::http {

/// Lets cpp-httplib take one request and write its reply. It sees a canonical message made by us, never the client's
/// bytes, and no socket; its routes (std::regex) never run. One per worker thread; not thread-safe.
class Bridge {
  public:
    /// All three must outlive the bridge.
    Bridge(const Handler& handler, const FaultEncoder& encode, Log& log);
    Bridge(const Bridge&) = delete;
    Bridge& operator=(const Bridge&) = delete;
    ~Bridge();

    /// Runs the handler and sends its reply. A handler that throws or does not answer becomes a 500.
    Ending answer(const Exchange::Parts& parts);

    /// The worker's Date field.
    DateField& date();

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt::http
