#include "http/request_head.h"

#include <fmt/core.h>

#include "base/text.h"
#include "http/grammar.h"

namespace mt::http {
namespace {

constexpr int k_http_port = 80;
constexpr int k_https_port = 443;

}  // namespace

std::string host_field(const Url& url) {
    if (!url.unix_path.empty()) {
        return "localhost";
    }
    const std::string host = url.host.find(':') == std::string::npos ? url.host : fmt::format("[{}]", url.host);
    return url.port == (url.tls ? k_https_port : k_http_port) ? host : fmt::format("{}:{}", host, url.port);
}

std::string server_name(const Url& url) {
    return url.unix_path.empty() ? fmt::format("{}:{}", url.host, url.port) : fmt::format("unix:{}", url.unix_path);
}

Result<void> check_request(std::string_view method, std::string_view target, const Fields& fields) {
    if (!is_token(method) || !is_visible(target)) {
        return Error{Code::invalid, fmt::format("{} {} is no request", quote(method), quote(target))};
    }
    for (const auto& [name, value] : fields) {
        if (!is_token(name) || !is_field_value(value)) {
            return Error{Code::invalid, fmt::format("header field {} holds bytes that no field may hold", quote(name))};
        }
    }
    return {};
}

}  // namespace mt::http
