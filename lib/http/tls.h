#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "http/server.h"

namespace mt::http {

/// What one attempt to move bytes did.
struct IoResult {
    enum class State { moved, again, ended, broken };
    State state = State::broken;
    std::size_t bytes = 0;
};

class TlsContext {
  public:
    static Result<std::shared_ptr<const TlsContext>> load(const TlsFiles& files);
};

class TlsSession {
  public:
    static std::unique_ptr<TlsSession> create(const TlsContext& context, int fd);
    IoResult handshake();
    [[nodiscard]] bool ready() const;
    [[nodiscard]] bool spoke_plain_http() const;
    IoResult read(std::span<char> out);
    IoResult write(std::string_view bytes);
    void close_notify();
};

}  // namespace mt::http
