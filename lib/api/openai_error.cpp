#include "api/openai_error.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "api/json_text.h"
#include "api/reply.h"

namespace mt::api {
namespace {

using namespace std::chrono_literals;

std::string_view code_of(const Error& error) {
    const CodeInfo& info = describe(error.code);
    switch (error.code) {
        case Code::unauthorized:
            return "invalid_api_key";
        case Code::rate_limited:
            return "rate_limit_exceeded";
        case Code::budget_spent:
            return "insufficient_quota";
        case Code::feature_required:
            return "feature_required";
        default:
            return !error.reason.empty() ? std::string_view(error.reason) : info.http_status >= 500 ? info.name : "";
    }
}

std::string_view message_of(const Error& error) {
    if (error.code == Code::unauthorized) {
        return "Incorrect API key provided.";
    }
    return describe(error.code).http_status == 500
               ? std::string_view("an internal error; the log has it under this request id")
               : std::string_view(error.message);
}

std::string text_or_null(std::string_view text) {
    return text.empty() ? "null" : json_string(text);
}

// How long a client had best wait, if that is known or can be guessed.
std::optional<std::chrono::nanoseconds> wait_of(const Error& error) {
    const bool guess =
        (error.code == Code::rate_limited && error.reason == "concurrency") || describe(error.code).http_status == 503;
    return error.retry_after || !guess ? error.retry_after : std::optional<std::chrono::nanoseconds>(1s);
}

void add_retry_fields(http::Response& reply, const Error& error) {
    const std::optional<std::chrono::nanoseconds> wait = wait_of(error);
    if (wait) {
        const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*wait);
        reply.fields.emplace_back("retry-after", fmt::format("{}", ceil_seconds(*wait)));
        reply.fields.emplace_back("retry-after-ms", fmt::format("{}", ms.count()));
    }
    const bool useless =
        error.code == Code::budget_spent || (error.code == Code::rate_limited && (!wait || *wait > 60s));
    if (useless) {
        reply.fields.emplace_back("x-should-retry", "false");
    } else if (error.code == Code::rate_limited && !error.retry_after) {
        reply.fields.emplace_back("x-should-retry", "true");
    }
}

struct Quota {
    std::int64_t limit;
    std::int64_t remaining;
    std::int64_t reset_ns;
};

void add_quota(http::Response& response, std::string_view of, const Quota& quota) {
    response.fields.emplace_back(fmt::format("x-ratelimit-limit-{}", of), fmt::format("{}", quota.limit));
    response.fields.emplace_back(fmt::format("x-ratelimit-remaining-{}", of), fmt::format("{}", quota.remaining));
    response.fields.emplace_back(fmt::format("x-ratelimit-reset-{}", of), format_reset(quota.reset_ns));
}

}  // namespace

std::string openai_error_json(const Error& error) {
    return fmt::format(R"({{"error":{{"message":{},"type":{},"param":{},"code":{}}}}})", json_string(message_of(error)),
                       json_string(describe(error.code).openai_type), text_or_null(error.param),
                       text_or_null(code_of(error)));
}

http::Response openai_error_reply(const Error& error, std::string_view /*request_id: in a field of every reply*/) {
    http::Response reply;
    reply.status = describe(error.code).http_status;
    reply.content_type = "application/json";
    reply.body = openai_error_json(error);
    add_retry_fields(reply, error);
    if (reply.status == 401) {
        reply.fields.emplace_back("WWW-Authenticate", "Bearer");
    }
    reply.fields.emplace_back("Cache-Control", "no-store");
    return reply;
}

void add_openai_limit_fields(http::Response& response, const LimitStatus& status) {
    add_quota(response, "requests", {status.burst, status.remaining, status.reset_ns});
    if (status.token_limit > 0) {
        add_quota(response, "tokens", {status.token_limit, status.tokens_remaining, status.token_reset_ns});
    }
}

std::string format_reset(std::int64_t ns) {
    const std::chrono::nanoseconds time{std::max<std::int64_t>(ns, 0)};
    const std::int64_t ms = std::chrono::ceil<std::chrono::milliseconds>(time).count();
    if (ms > 0 && ms < 1000) {
        return fmt::format("{}ms", ms);
    }
    const std::int64_t seconds = ceil_seconds(time);
    if (seconds < 60) {
        return fmt::format("{}s", seconds);
    }
    const std::int64_t minutes = seconds / 60;
    return minutes < 60 ? fmt::format("{}m{}s", minutes, seconds % 60)
                        : fmt::format("{}h{}m{}s", minutes / 60, minutes % 60, seconds % 60);
}

}  // namespace mt::api
