#include <utility>

#include "stats/metric_page.h"
#include "stats/metrics.h"

namespace mt {
namespace {

double as_double(std::int64_t value) {
    return static_cast<double>(value);
}

void add_calls(MetricPage& page, const ProcessSample& process) {
    page.histogram("mtagent_request_duration_seconds", "Duration of admitted calls.").add(process.request);
    page.histogram("mtagent_time_to_first_token_seconds", "Time until the first piece of a served answer.")
        .add(process.first_token);
    page.histogram("mtagent_upstream_duration_seconds", "Duration of each request to a model's server or HTTP tool.")
        .add(process.upstream);
    page.histogram("mtagent_overhead_seconds",
                   "Duration of admitted calls that went upstream, without the time spent there.")
        .add(process.overhead);
    MetricPage::Family& errors = page.counter("mtagent_errors_total", "Failed calls by reason.");
    for (const auto& [reason, count] : process.errors) {
        errors.add(as_double(count), {{"reason", std::string(reason)}});
    }
    page.counter("mtagent_invalid_requests_total", "Refused requests that are in no tenant's numbers.")
        .add(as_double(process.invalid_requests));
    MetricPage::Family& refusals = page.counter(
        "mtagent_http_refusals_total", "Messages and connections that the transport refused before any handler.");
    for (const auto& [reason, count] : process.refusals) {
        refusals.add(as_double(count), {{"reason", reason}});
    }
}

void add_gate(MetricPage& page, const GateSample& gate) {
    page.gauge("mtagent_agent_slots", "Calls that may be answered at the same time.").add(as_double(gate.slots));
    page.gauge("mtagent_agent_slots_in_use", "Calls being answered by an agent.").add(as_double(gate.running));
    page.gauge("mtagent_agent_queue_length", "Calls waiting for an agent slot.").add(as_double(gate.waiting));
    MetricPage::Family& refused =
        page.counter("mtagent_agent_queue_refusals_total", "Calls that got no agent slot, by reason.");
    refused.add(as_double(gate.refused_full), {{"reason", "full"}});
    refused.add(as_double(gate.refused_timeout), {{"reason", "timeout"}});
}

void add_upstream_requests(MetricPage& page, const ProcessSample& process) {
    MetricPage::Family& requests = page.counter("mtagent_upstream_requests_total",
                                                "Attempts at an upstream by outcome; its open breaker rejects them.");
    constexpr std::pair<const char*, std::int64_t UpstreamSample::*> k_outcomes[]{
        {"ok", &UpstreamSample::requests_ok},
        {"failed", &UpstreamSample::requests_failed},
        {"rejected", &UpstreamSample::rejected}};
    for (const UpstreamSample& upstream : process.upstreams) {
        for (const auto& [outcome, value] : k_outcomes) {
            requests.add(as_double(upstream.*value), {{"model", upstream.model}, {"outcome", outcome}});
        }
    }
}

void add_upstreams(MetricPage& page, const ProcessSample& process) {
    add_upstream_requests(page, process);
    MetricPage::Family& retries =
        page.counter("mtagent_upstream_retries_total", "Attempts after the first one of a call.");
    MetricPage::Family& fallbacks =
        page.counter("mtagent_upstream_fallbacks_total", "Calls that went on to the fallback model.");
    MetricPage::Family& breaker =
        page.gauge("mtagent_upstream_breaker_state", "State of the circuit breaker: 0 closed, 1 half-open, 2 open.");
    MetricPage::Family& first =
        page.summary("mtagent_upstream_first_token_seconds", "Time from a request to the first token of its answer.");
    for (const UpstreamSample& upstream : process.upstreams) {
        const MetricPage::Labels labels{{"model", upstream.model}};
        retries.add(as_double(upstream.retries), labels);
        fallbacks.add(as_double(upstream.fallbacks), labels);
        breaker.add(upstream.breaker_state, labels);
        first.add_summary(upstream.first_token_count, upstream.first_token_seconds, labels);
    }
}

void add_reports(MetricPage& page, const ReportSample& reports) {
    page.counter("mtagent_ledger_writes_total", "Tenants' numbers written into their files.")
        .add(as_double(reports.ledger_writes));
    page.counter("mtagent_ledger_write_failures_total", "Tenants' numbers that could not be written; tried again.")
        .add(as_double(reports.ledger_failed_writes));
    page.gauge("mtagent_ledger_failing_tenants", "Tenants whose numbers could not be written last time.")
        .add(as_double(reports.ledger_failing_tenants));
    page.counter("mtagent_log_lines_dropped_total", "Lines of the log that nobody read in time.")
        .add(as_double(reports.log_lines_dropped));
    page.counter("mtagent_trace_spans_exported_total", "Spans delivered to the collector.")
        .add(as_double(reports.spans_exported));
    page.counter("mtagent_trace_spans_dropped_total", "Spans that were not delivered.")
        .add(as_double(reports.spans_dropped));
    page.gauge("mtagent_trace_spans_queued", "Spans waiting for their export.").add(as_double(reports.spans_queued));
}

void add_backends(MetricPage& page, const ProcessSample& process) {
    MetricPage::Family& up = page.gauge("mtagent_backend_up", "Whether a Redis or PostgreSQL answers: 1, or 0.");
    MetricPage::Family& calls = page.counter("mtagent_backend_calls_total", "Round trips to it.");
    MetricPage::Family& failures = page.counter("mtagent_backend_failures_total", "Round trips that failed.");
    MetricPage::Family& refused =
        page.counter("mtagent_backend_refused_total", "Uses that were refused at once because it was away.");
    MetricPage::Family& outages = page.counter("mtagent_backend_outages_total", "Times that it went away.");
    for (const BackendStatus& backend : process.backends) {
        const MetricPage::Labels labels{{"backend", backend.name}, {"kind", backend.kind}};
        up.add(backend.up ? 1 : 0, labels);
        calls.add(as_double(backend.calls), labels);
        failures.add(as_double(backend.failures), labels);
        refused.add(as_double(backend.refused), labels);
        outages.add(as_double(backend.outages), labels);
    }
}

void add_limiter(MetricPage& page, const LimiterSample& limiter) {
    MetricPage::Family& decisions =
        page.counter("mtagent_limiter_decisions_total", "Decisions about calls where limits are kept in Redis.");
    decisions.add(as_double(limiter.by_redis), {{"by", "redis"}});
    decisions.add(as_double(limiter.by_share), {{"by", "local-share"}});
    decisions.add(as_double(limiter.let_in), {{"by", "open"}});
    decisions.add(as_double(limiter.refused), {{"by", "closed"}});
    page.gauge("mtagent_limiter_outage", "Whether limits are decided without their Redis right now: 1, or 0.")
        .add(limiter.outage ? 1 : 0);
    page.gauge("mtagent_replicas", "Replicas that share limits through Redis, this one included.")
        .add(as_double(limiter.replicas));
}

// The names that Prometheus' own client libraries use.
void add_usage(MetricPage& page, const ProcessUsage& usage) {
    page.counter("process_cpu_seconds_total", "User and system CPU time spent.").add(usage.cpu_seconds);
    page.gauge("process_start_time_seconds", "Start of the process since 1970.").add(usage.start_time_unix_s);
    page.gauge("process_resident_memory_bytes", "Resident memory size.").add(as_double(usage.resident_bytes));
    page.gauge("process_virtual_memory_bytes", "Virtual memory size.").add(as_double(usage.virtual_bytes));
    page.gauge("process_open_fds", "Open file descriptors.").add(as_double(usage.open_descriptors));
    page.gauge("process_max_fds", "Most file descriptors that may be open.").add(as_double(usage.max_descriptors));
    page.gauge("process_threads", "Threads of the process.").add(as_double(usage.threads));
}

}  // namespace

void add_process_metrics(MetricPage& page, const ProcessSample& process) {
    add_calls(page, process);
    add_gate(page, process.gate);
    add_upstreams(page, process);
    add_reports(page, process.reports);
    add_backends(page, process);
    add_limiter(page, process.limiter);
    add_usage(page, process.usage);
    page.gauge("mtagent_connections", "Open connections.").add(as_double(process.connections));
    page.gauge("mtagent_tenants_loaded", "Tenants in memory.").add(as_double(process.tenants));
    page.gauge("mtagent_uptime_seconds", "Seconds since the start.").add(process.uptime_s);
    page.gauge("mtagent_build_info", "Version of the program; always 1.").add(1, {{"version", process.version}});
}

}  // namespace mt
