// The operator's view of the whole process: numbers, metrics, health.

#include <fmt/core.h>

#include <utility>

#include "api/exchange.h"
#include "api/json_views.h"

namespace mt::api {

namespace {

// The numbers of all tenants; those that cannot be read are left out and logged.
Result<std::vector<TenantSample>> all_samples(const Exchange& exchange) {
    std::vector<std::string> faults;
    Result<std::vector<TenantSample>> samples = exchange.services.stats.all(faults);
    for (const std::string& fault : faults) {
        exchange.services.log.error("numbers left out: " + fault);
    }
    return samples;
}

}  // namespace

Result<http::Response> stats(Exchange& exchange) {
    if (Result<void> allowed = authorize_reader(exchange); !allowed) {
        return std::move(allowed).error();
    }
    Result<std::vector<TenantSample>> samples = all_samples(exchange);
    if (!samples) {
        return std::move(samples).error();
    }
    http::Response reply = json_reply(200, all_stats_json(*samples));
    reply.fields.emplace_back("Cache-Control", "no-store");
    return reply;
}

Result<http::Response> metrics(Exchange& exchange) {
    if (Result<void> allowed = authorize_reader(exchange); !allowed) {
        return std::move(allowed).error();
    }
    const Services& services = exchange.services;
    Result<std::vector<TenantSample>> samples = all_samples(exchange);
    if (!samples) {
        return std::move(samples).error();
    }
    ProcessSample process;
    process.invalid_requests = services.pipeline.invalid_requests.load();
    process.refusals = services.refusals.list();
    process.upstreams = services.upstreams ? services.upstreams() : std::vector<UpstreamSample>{};
    process.connections = services.connections ? services.connections() : 0;
    process.tenants = static_cast<std::int64_t>(services.tenants.loaded().size());
    process.uptime_s = static_cast<double>(services.clock.boot_ns() - services.started_ns) / 1e9;
    process.version = services.version;
    http::Response reply;
    reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
    reply.body = render_metrics(*samples, process);
    return reply;
}

Result<http::Response> health(Exchange& /*exchange*/) {
    http::Response reply;
    reply.body = "OK\n";
    reply.fields.emplace_back("Cache-Control", "no-store");
    return reply;
}

Result<http::Response> ready(Exchange& exchange) {
    const Services& services = exchange.services;
    std::optional<Error> fault;
    if (services.draining.load()) {
        fault = Error{Code::unavailable, "the server is shutting down"};
    } else if (std::optional<Error> ledger = services.ledger.fault()) {
        fault = Error{Code::unavailable, fmt::format("statistics cannot be written ({})", describe(ledger->code).name)};
    } else if (std::optional<Error> tenants = services.tenants.fault()) {
        fault = Error{Code::unavailable, fmt::format("the catalog cannot be read ({})", describe(tenants->code).name)};
    }
    return fault ? Result<http::Response>(*std::move(fault)) : health(exchange);
}

}  // namespace mt::api
