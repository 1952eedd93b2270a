// The operator's view of the whole process: numbers, metrics, health.

#include <fmt/core.h>

#include <utility>

#include "api/exchange.h"
#include "api/json_views.h"
#include "base/blocking.h"
#include "stats/process_usage.h"

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

GateSample gate_sample(const FairGate* gate) {
    const GateStatus status = gate == nullptr ? GateStatus{} : gate->status();
    return {status.slots, status.running, status.waiting, status.refused_full, status.refused_timeout};
}

ReportSample report_sample(const Services& services) {
    const TraceCounts traces = services.traces ? services.traces() : TraceCounts{};
    const LedgerHealth ledger = services.ledger.health();
    return {services.log.dropped(), traces.exported,      traces.dropped, traces.queued,
            ledger.failing_tenants, ledger.failed_writes, ledger.written};
}

ProcessSample process_sample(const Services& services) {
    ProcessSample process;
    const CallMeters& meters = services.pipeline.meters;
    process.invalid_requests = services.pipeline.invalid_requests.load();
    process.refusals = services.refusals.list();
    process.upstreams = services.upstreams ? services.upstreams() : std::vector<UpstreamSample>{};
    process.connections = services.connections ? services.connections() : 0;
    process.tenants = static_cast<std::int64_t>(services.tenants.loaded().size());
    process.uptime_s = static_cast<double>(services.clock.boot_ns() - services.started_ns) / 1e9;
    process.version = services.version;
    process.gate = gate_sample(services.gate);
    process.reports = report_sample(services);
    process.backends = services.backends ? services.backends() : std::vector<BackendStatus>{};
    process.limiter = services.limiter ? services.limiter() : LimiterSample{};
    process.usage = read_process_usage();
    process.request = meters.request.sample();
    process.first_token = meters.first_token.sample();
    process.upstream = meters.upstream.sample();
    process.overhead = meters.overhead.sample();
    process.errors = meters.errors();
    return process;
}

// A folder of its own that cannot be used is a reason to send everybody elsewhere. Servers that all replicas share are
// none: the others cannot use them either, and what does not need them goes on.
std::optional<Error> unready(const Services& services, bool shared) {
    if (services.draining.load()) {
        return Error{Code::unavailable, "the server is shutting down"};
    }
    const LedgerHealth ledger = services.ledger.health();
    if (ledger.fault && !shared) {
        return Error{Code::unavailable,
                     fmt::format("statistics cannot be written ({})", describe(ledger.fault->code).name)};
    }
    const std::optional<Error> tenants = services.tenants.fault();
    if (tenants && !shared) {
        return Error{Code::unavailable, fmt::format("the catalog cannot be read ({})", describe(tenants->code).name)};
    }
    return std::nullopt;
}

// What is out of order while calls are taken, a line each.
std::string troubles(const Services& services, bool shared) {
    std::string lines;
    for (const BackendStatus& backend : services.backends ? services.backends() : std::vector<BackendStatus>{}) {
        if (!backend.up) {
            const std::int64_t seconds = (services.clock.boot_ns() - backend.since_ns) / 1'000'000'000;
            lines += fmt::format("{} '{}' is away for {} s\n", backend.kind, backend.name, seconds);
        }
    }
    if (services.limiter && services.limiter().outage) {
        lines += "limits are decided without their Redis\n";
    }
    const LedgerHealth ledger = services.ledger.health();
    if (ledger.failing_tenants > 0) {
        lines += fmt::format("tenants whose statistics cannot be written: {}\n", ledger.failing_tenants);
    }
    if (shared && services.tenants.fault()) {
        lines += "changes of tenants are not seen\n";
    }
    return lines;
}

}  // namespace

Result<http::Response> stats(Exchange& exchange) {
    if (Result<void> allowed = authorize_reader(exchange); !allowed) {
        return std::move(allowed).error();
    }
    const Result<BlockingRegion> region = BlockingRegion::enter();  // as metrics
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
    // A page of many tenants takes milliseconds, in which another thread answers calls. Where none is left it is made
    // all the same: that is when somebody needs it.
    const Result<BlockingRegion> region = BlockingRegion::enter();
    const Services& services = exchange.services;
    const std::vector<TenantSample> samples = services.stats.series(services.ledger.series());
    http::Response reply;
    reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
    reply.body = render_metrics(samples, process_sample(services));
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
    const bool shared = services.catalog.shared();
    if (std::optional<Error> fault = unready(services, shared)) {
        return *std::move(fault);
    }
    Result<http::Response> reply = health(exchange);
    reply->body += troubles(services, shared);
    return reply;
}

}  // namespace mt::api
