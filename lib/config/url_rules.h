#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// Which addresses may stand in the configuration. No message repeats an address: somebody may have written a password
// into it. Pure functions.
namespace mt {

/// "http://HOST[:PORT][/PATH]", https too; no user, no query, no fragment (RFC 3986). Errors: invalid.
Result<void> check_http_base_url(const std::string& text);

/// The same, and "unix:PATH". Errors: invalid.
Result<void> check_base_url(const std::string& text);

/// An http or https address with an optional query, in which {NAME} stands for an argument; only path and query may
/// hold one, so that no argument can choose the server. Errors: invalid.
Result<void> check_tool_url(const std::string& text);

/// The NAMEs in a valid tool's address, in order.
std::vector<std::string> url_placeholders(std::string_view url);

/// Without slashes at the end, so that a path can follow.
std::string without_last_slashes(std::string url);

}  // namespace mt
