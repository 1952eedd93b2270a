#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"
#include "limit/limits.h"

namespace mt::api {

/// {"error":{"message","type","param","code"}} in one line, as OpenAI's clients read it. `type` comes from the table of
/// codes. `code` is OpenAI's own where it has one (invalid_api_key, rate_limit_exceeded, insufficient_quota), else the
/// error's reason (model_not_found, context_length_exceeded), else the name of a fault of ours, else null. Why a key
/// was refused is not told, and neither is what went wrong in a 500.
std::string openai_error_json(const Error& error);

/// The same as a reply, with the fields that tell clients whether and when to ask again:
/// - retry-after (seconds, rounded up) and retry-after-ms where the wait is known. A refusal for concurrency knows
///   none, but calls end all the time: one second.
/// - x-should-retry: false on 402, on 429 where waiting does not help or takes more than 60 s; true for concurrency.
http::Response openai_error_reply(const Error& error, std::string_view request_id);

/// Adds x-ratelimit-{limit,remaining,reset}-requests, and -tokens where tokens are limited.
void add_openai_limit_fields(http::Response& response, const LimitStatus& status);

/// A time as OpenAI writes it, rounded up: "12ms" below a second, then "6s", "1m30s", "2h0m5s".
std::string format_reset(std::int64_t ns);

}  // namespace mt::api
