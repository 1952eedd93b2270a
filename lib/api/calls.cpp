#include "api/calls.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/text.h"

namespace mt::api {
namespace {

// True when Cache-Control asks for a fresh answer.
bool refuses_cache(const http::Request& request) {
    const std::vector<std::string> directives = split_list(to_lower(request.field("Cache-Control").value_or("")));
    return std::any_of(directives.begin(), directives.end(),
                       [](const std::string& d) { return d == "no-cache" || d == "no-store"; });
}

std::string milliseconds(std::int64_t duration_ns) {
    return fmt::format("{:.3f}", static_cast<double>(duration_ns) / 1e6);
}

}  // namespace

void fill_call(Call& call, const Exchange& exchange, std::string tenant_id) {
    call.context.request_id = exchange.request_id;
    call.context.stop = exchange.responder.stop_token();
    call.context.parking = exchange.responder.parking();
    call.context.deadline_ns = exchange.services.clock.boot_ns() + exchange.services.request_timeout_ms * 1'000'000;
    call.tenant_id = std::move(tenant_id);
    call.presented_key = presented_key(exchange.request);
    if (const auto parent = exchange.request.field("traceparent")) {
        call.trace_parent = parse_traceparent(*parent, exchange.request.field("tracestate").value_or(""));
    }
    call.method = exchange.request.method;
    call.route = exchange.route.name;
    call.peer = exchange.request.peer;
    call.cache_allowed = !refuses_cache(exchange.request);
}

void add_call_fields(http::Response& reply, const Call& call, bool refused_stranger) {
    if (call.tenant && !refused_stranger) {
        reply.fields.emplace_back("X-Tenant-ID", call.tenant->record.id);
        reply.fields.emplace_back("X-Processing-Time-Ms", milliseconds(call.duration_ns));
    }
}

Result<std::shared_ptr<const Tenant>> own_tenant(const Exchange& exchange, std::string tenant_id) {
    Silent nobody;
    Call call(nobody);
    call.tenant_id = std::move(tenant_id);
    call.presented_key = presented_key(exchange.request);
    Result<void> known = authenticate_only(call, exchange.services.pipeline);
    return known ? Result<std::shared_ptr<const Tenant>>(call.tenant)
                 : Result<std::shared_ptr<const Tenant>>(std::move(known).error());
}

}  // namespace mt::api
