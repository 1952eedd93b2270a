#include "api/reply.h"

#include <fmt/core.h>

#include "base/text.h"

namespace mt::api {

http::Response json_reply(int status, const Json& body) {
    http::Response response;
    response.status = status;
    response.content_type = "application/json";
    response.body = body.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    return response;
}

http::Response problem_reply(const Error& error, std::string_view request_id) {
    const CodeInfo& info = describe(error.code);
    const Json body{
        {"type", fmt::format("urn:mtagent:error:{}", info.name)},
        {"title", info.title},
        {"status", info.http_status},
        {"detail", info.http_status == 500 ? "an internal error; the log has it under this request id" : error.message},
        {"request_id", request_id}};
    http::Response response = json_reply(info.http_status, body);
    response.content_type = "application/problem+json";
    if (!error.reason.empty()) {
        Json with_reason = body;
        with_reason["reason"] = error.reason;
        response.body = with_reason.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    }
    if (error.retry_after) {
        response.fields.emplace_back("Retry-After", fmt::format("{}", ceil_seconds(*error.retry_after)));
    } else if (info.http_status == 503) {
        response.fields.emplace_back("Retry-After", "1");
    }
    if (info.http_status == 401) {
        response.fields.emplace_back("WWW-Authenticate", "Bearer");
    }
    response.fields.emplace_back("Cache-Control", "no-store");
    return response;
}

void add_limit_fields(http::Response& response, const LimitStatus& status) {
    response.fields.emplace_back("RateLimit-Policy",
                                 fmt::format("\"requests\";q={};w={}", status.burst, status.window_s));
    response.fields.emplace_back("RateLimit", fmt::format("\"requests\";r={};t={}", status.remaining,
                                                          ceil_seconds(std::chrono::nanoseconds{status.reset_ns})));
}

std::int64_t ceil_seconds(std::chrono::nanoseconds duration) {
    return std::chrono::ceil<std::chrono::seconds>(duration).count();
}

}  // namespace mt::api
