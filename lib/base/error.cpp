#include "base/error.h"

#include <array>
#include <cstddef>

namespace mt {
namespace {

constexpr std::array k_codes{
    CodeInfo{Code::invalid, "invalid", 400, 64, "Bad Request", "invalid_request_error"},
    CodeInfo{Code::unauthorized, "unauthorized", 401, 1, "Unauthorized", "invalid_request_error"},
    CodeInfo{Code::budget_spent, "budget_spent", 402, 1, "Payment Required", "insufficient_quota"},
    CodeInfo{Code::forbidden, "forbidden", 403, 1, "Forbidden", "invalid_request_error"},
    CodeInfo{Code::feature_required, "feature_required", 403, 1, "Forbidden", "invalid_request_error"},
    CodeInfo{Code::not_found, "not_found", 404, 3, "Not Found", "invalid_request_error"},
    CodeInfo{Code::method_not_allowed, "method_not_allowed", 405, 1, "Method Not Allowed", "invalid_request_error"},
    CodeInfo{Code::request_timeout, "request_timeout", 408, 69, "Request Timeout", "invalid_request_error"},
    CodeInfo{Code::already_exists, "already_exists", 409, 4, "Conflict", "invalid_request_error"},
    CodeInfo{Code::conflict, "conflict", 409, 75, "Conflict", "invalid_request_error"},
    CodeInfo{Code::too_large, "too_large", 413, 1, "Content Too Large", "invalid_request_error"},
    CodeInfo{Code::uri_too_long, "uri_too_long", 414, 1, "URI Too Long", "invalid_request_error"},
    CodeInfo{Code::unsupported_media, "unsupported_media", 415, 1, "Unsupported Media Type", "invalid_request_error"},
    CodeInfo{Code::expectation_failed, "expectation_failed", 417, 1, "Expectation Failed", "invalid_request_error"},
    CodeInfo{Code::head_too_large, "head_too_large", 431, 1, "Request Header Fields Too Large",
             "invalid_request_error"},
    CodeInfo{Code::rate_limited, "rate_limited", 429, 75, "Too Many Requests", "rate_limit_error"},
    CodeInfo{Code::client_gone, "client_gone", 499, 1, "Client Closed Request", "api_error"},
    CodeInfo{Code::internal, "internal", 500, 70, "Internal Server Error", "api_error"},
    CodeInfo{Code::unsupported, "unsupported", 501, 1, "Not Implemented", "invalid_request_error"},
    CodeInfo{Code::upstream, "upstream", 502, 69, "Bad Gateway", "api_error"},
    CodeInfo{Code::unavailable, "unavailable", 503, 69, "Service Unavailable", "api_error"},
    CodeInfo{Code::busy, "busy", 503, 75, "Service Unavailable", "api_error"},
    CodeInfo{Code::timeout, "timeout", 504, 69, "Gateway Timeout", "api_error"},
    CodeInfo{Code::storage_full, "storage_full", 507, 1, "Insufficient Storage", "api_error"},
    CodeInfo{Code::config, "config", 500, 78, "Internal Server Error", "api_error"},
    CodeInfo{Code::version_mismatch, "version_mismatch", 500, 78, "Internal Server Error", "api_error"},
    CodeInfo{Code::threshold_broken, "threshold_broken", 500, 5, "Internal Server Error", "api_error"},
    CodeInfo{Code::failed, "failed", 500, 1, "Internal Server Error", "api_error"},
};

constexpr bool in_order() {
    for (std::size_t i = 0; i < k_codes.size(); ++i) {
        if (static_cast<std::size_t>(k_codes[i].code) != i) {
            return false;
        }
    }
    return true;
}
static_assert(in_order(), "the table is indexed by code: keep the order of the enum");

}  // namespace

const CodeInfo& describe(Code code) {
    return k_codes[static_cast<std::size_t>(code)];
}

}  // namespace mt
