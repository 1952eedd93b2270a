#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"
#include "http/message.h"
#include "http/server.h"

namespace mt::http {

/// What the head of a request says, after every check of RFC 9112 that concerns a head alone.
struct Head {
    Request request{};               ///< without body and peer
    bool http11 = true;              ///< false: HTTP/1.0
    bool keep_alive = true;          ///< the client wants the connection to stay
    bool chunked = false;            ///< the body comes in chunks; else content_length bytes
    bool expects_continue = false;   ///< it waits for 100 (Continue) before it sends the body
    std::size_t content_length = 0;  ///< bytes
};

/// Reads a complete head: `text` ends with the empty line. Strict: whatever two readers could understand differently
/// is refused. A target in absolute form is reduced to path and query, and its authority becomes Host. Errors: invalid,
/// uri_too_long, head_too_large (too many fields), too_large, unsupported_media, expectation_failed, unsupported.
Result<Head> parse_head(std::string_view text, const ServerLimits& limits);

}  // namespace mt::http
