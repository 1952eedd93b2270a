#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace mt::redis {

/// Where a Redis listens, and as whom to speak to it. A plain value.
struct Address {
    std::string host = "127.0.0.1";
    int port = 6379;
    std::string socket;  ///< path of a unix socket; empty: host and port
    std::string user;    ///< empty: the default user
    std::string password;
    int database = 0;

    /// For messages and logs: without user and password. "redis://127.0.0.1:6379/0", "unix:///run/redis.sock".
    [[nodiscard]] std::string to_string() const;
};

/// Reads "redis:6379", "redis" (port 6379), "redis://[user[:password]@]host[:port][/database]",
/// "unix:///path[?db=N&password=...]"; an IPv6 host stands in brackets; user and password are percent-decoded. Errors:
/// invalid, saying what is wrong without repeating a password; "rediss://" says that TLS goes through stunnel.
Result<Address> parse_address(std::string_view text);

}  // namespace mt::redis
