#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"
#include "limit/limits.h"

namespace mt::api {

using Json = nlohmann::ordered_json;

/// A JSON reply; numbers and texts as they are, two blanks of indentation, a line end at the end.
http::Response json_reply(int status, const Json& body);

/// An error as application/problem+json (RFC 9457): type, title, status, detail, request_id, and `reason` where one is
/// known; Retry-After in seconds, rounded up, where waiting helps; WWW-Authenticate on 401. The detail of an error of
/// ours (500) is not shown.
http::Response problem_reply(const Error& error, std::string_view request_id);

/// Adds RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10).
void add_limit_fields(http::Response& response, const LimitStatus& status);

/// Whole seconds, rounded up.
std::int64_t ceil_seconds(std::chrono::nanoseconds duration);

}  // namespace mt::api
