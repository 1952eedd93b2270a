#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace mt::http {

/// An http:// or unix: address split into what a client needs.
struct Url {
    std::string host;
    int port = 80;
    std::string path = "/";  ///< path and query
    std::string unix_path{};
};

/// Reads "http://host[:port][/path?query]" ("host:port" alone is http). Errors: invalid (https is not spoken here).
Result<Url> parse_url(std::string_view text);

/// One keep-alive connection to one server. Not thread-safe.
class Client {
  public:
    /// `timeout` bounds connecting, each read and each write.
    Client(const Url& url, std::chrono::milliseconds timeout);
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client();

    /// Sends one request and reads the whole reply. Errors: unavailable (cannot connect), timeout, upstream (the reply
    /// is cut or no HTTP).
    Result<Response> send(std::string_view method, std::string_view target, const Fields& fields = {},
                          std::string_view body = {});

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt::http
