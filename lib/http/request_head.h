#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "http/client.h"
#include "http/message.h"

namespace mt::http {

// What this room's clients say and how they name their servers.

/// What stands for the server in Host (RFC 9110 section 7.2); a unix socket has no name of its own: "localhost".
std::string host_field(const Url& url);

/// "api.example.com:443" or "unix:PATH", for messages.
std::string server_name(const Url& url);

/// Method, target and fields hold no bytes that would start another line or another request. Errors: invalid, without
/// the value of any field.
Result<void> check_request(std::string_view method, std::string_view target, const Fields& fields);

}  // namespace mt::http
