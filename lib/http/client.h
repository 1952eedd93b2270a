#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace mt::http {

class Trust;

/// An http://, https:// or unix: address split into what a client needs.
struct Url {
    std::string host;
    int port = 80;
    std::string path = "/";  ///< path and query
    std::string unix_path{};
    bool tls = false;
};

/// Reads "http://host[:port][/path?query]", the same with https:// (port 443 unless named), or unix:PATH; "host:port"
/// alone is http. Errors: invalid.
Result<Url> parse_url(std::string_view text);

struct ClientOptions {
    std::chrono::milliseconds timeout{10'000};  ///< bounds connecting, each read and each write
    bool verify = true;                         ///< over TLS: speak only to a server whose certificate is trusted
    std::shared_ptr<const Trust> trust{};       ///< who vouches for it; null: the system's authorities, read anew
};

/// `options`, with the system's authorities when a client of `url` would have to read them. That takes some
/// milliseconds; who makes several clients, or measures, does it before.
ClientOptions with_trust(const Url& url, ClientOptions options);

/// One keep-alive connection to one server. Not thread-safe.
class Client {
  public:
    Client(const Url& url, const ClientOptions& options);
    Client(const Url& url, std::chrono::milliseconds timeout) : Client(url, ClientOptions{timeout}) {}
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client();

    /// Sends one request and reads the whole reply. Errors: unavailable (cannot connect, no TLS, certificate
    /// not trusted), timeout, upstream (the reply is cut or no HTTP).
    Result<Response> send(std::string_view method, std::string_view target, const Fields& fields = {},
                          std::string_view body = {});

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt::http
