#include "app/waiting_reply.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "api/api.h"

namespace mt::app {

http::Response waiting_reply(const http::Request& request, const Error& reason) {
    constexpr std::array<std::string_view, 3> k_alive{"/livez", "/health", "/health/live"};
    const bool asks = request.method == "GET" || request.method == "HEAD";
    if (!asks || std::find(k_alive.begin(), k_alive.end(), request.path) == k_alive.end()) {
        return api::Api::fault(reason);
    }
    http::Response reply;
    reply.body = "OK\n";
    reply.fields.emplace_back("Cache-Control", "no-store");
    return reply;
}

}  // namespace mt::app
