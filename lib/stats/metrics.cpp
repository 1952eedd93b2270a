#include "stats/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <functional>
#include <utility>
#include <vector>

namespace mt {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

ClientMetric counter(Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.counter.value = value;
    return metric;
}

ClientMetric gauge(Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.gauge.value = value;
    return metric;
}

ClientMetric::Label tenant_label(const TenantSample& sample) {
    return {"tenant_id", sample.tenant};
}

class Page {
  public:
    explicit Page(std::span<const TenantSample> tenants) : m_tenants(tenants) {}

    // One time series per tenant.
    void tenant_family(const char* name, const char* help, MetricType type,
                       const std::function<double(const TenantSample&)>& value) {
        MetricFamily& family = add(name, help, type);
        for (const TenantSample& sample : m_tenants) {
            Labels labels{tenant_label(sample)};
            family.metric.push_back(type == MetricType::Counter ? counter(labels, value(sample))
                                                                : gauge(labels, value(sample)));
        }
    }

    void process_family(const char* name, const char* help, MetricType type, double value, const Labels& labels = {}) {
        add(name, help, type)
            .metric.push_back(type == MetricType::Counter ? counter(labels, value) : gauge(labels, value));
    }

    MetricFamily& add(const char* name, const char* help, MetricType type) {
        m_families.push_back({name, help, type, {}});
        return m_families.back();
    }

    MetricFamily& family(std::size_t number) { return m_families[number]; }

    [[nodiscard]] std::string text() const { return prometheus::TextSerializer().Serialize(m_families); }

  private:
    std::span<const TenantSample> m_tenants;
    std::vector<MetricFamily> m_families;
};

void add_requests(Page& page, std::span<const TenantSample> tenants) {
    // Both families are made before they are filled: adding one may move the others.
    page.add("tenant_requests_total", "Calls of the tenant's agent by status.", MetricType::Counter);
    page.add("mtagent_tenant_denied_total", "Denied calls by the limit or feature that refused.", MetricType::Counter);
    MetricFamily& requests = page.family(0);
    MetricFamily& denied = page.family(1);
    constexpr std::pair<const char*, Counter> k_statuses[]{
        {"allowed", Counter::served}, {"error", Counter::failed}, {"unauthorized", Counter::unauthorized}};
    constexpr std::pair<const char*, Counter> k_reasons[]{
        {"requests", Counter::denied_requests},       {"tokens", Counter::denied_tokens},
        {"concurrency", Counter::denied_concurrency}, {"budget", Counter::denied_budget},
        {"feature", Counter::denied_feature},         {"overload", Counter::denied_overload}};
    for (const TenantSample& sample : tenants) {
        for (const auto& [status, outcome] : k_statuses) {
            requests.metric.push_back(
                counter({tenant_label(sample), {"status", status}}, static_cast<double>(sample.totals.of(outcome))));
        }
        requests.metric.push_back(
            counter({tenant_label(sample), {"status", "denied"}}, static_cast<double>(sample.totals.denied())));
        for (const auto& [reason, outcome] : k_reasons) {
            denied.metric.push_back(
                counter({tenant_label(sample), {"reason", reason}}, static_cast<double>(sample.totals.of(outcome))));
        }
    }
}

void add_refusals(Page& page, const ProcessSample& process) {
    MetricFamily& family =
        page.add("mtagent_http_refusals_total",
                 "Messages and connections that the transport refused before any handler.", MetricType::Counter);
    for (const auto& [reason, count] : process.refusals) {
        family.metric.push_back(counter({{"reason", reason}}, static_cast<double>(count)));
    }
}

// Of tenants that have a budget.
void add_budgets(Page& page, std::span<const TenantSample> tenants) {
    constexpr struct {
        const char* name;
        const char* help;
        std::int64_t Gauges::*value;
    } k_families[]{
        {"mtagent_tenant_budget_tokens", "Token budget of the present day or month.", &Gauges::budget_tokens},
        {"mtagent_tenant_budget_used_tokens", "Tokens of the budget that ended calls have used.",
         &Gauges::budget_used_tokens}};
    for (const auto& [name, help, value] : k_families) {
        MetricFamily& family = page.add(name, help, MetricType::Gauge);
        for (const TenantSample& sample : tenants) {
            if (sample.gauges.budget_tokens > 0) {
                family.metric.push_back(gauge({tenant_label(sample)}, static_cast<double>(sample.gauges.*value)));
            }
        }
    }
}

// One time series per upstream.
void upstream_family(Page& page, const ProcessSample& process, const char* name, const char* help,
                     std::int64_t UpstreamSample::*value) {
    MetricFamily& family = page.add(name, help, MetricType::Counter);
    for (const UpstreamSample& upstream : process.upstreams) {
        family.metric.push_back(counter({{"model", upstream.model}}, static_cast<double>(upstream.*value)));
    }
}

void add_upstream_requests(Page& page, const ProcessSample& process) {
    constexpr std::pair<const char*, std::int64_t UpstreamSample::*> k_outcomes[]{
        {"ok", &UpstreamSample::requests_ok},
        {"failed", &UpstreamSample::requests_failed},
        {"rejected", &UpstreamSample::rejected}};
    MetricFamily& family =
        page.add("mtagent_upstream_requests_total",
                 "Attempts at an upstream by outcome; its open breaker rejects them.", MetricType::Counter);
    for (const UpstreamSample& upstream : process.upstreams) {
        for (const auto& [outcome, value] : k_outcomes) {
            family.metric.push_back(
                counter({{"model", upstream.model}, {"outcome", outcome}}, static_cast<double>(upstream.*value)));
        }
    }
}

void add_upstreams(Page& page, const ProcessSample& process) {
    add_upstream_requests(page, process);
    upstream_family(page, process, "mtagent_upstream_retries_total", "Attempts after the first one of a call.",
                    &UpstreamSample::retries);
    upstream_family(page, process, "mtagent_upstream_fallbacks_total", "Calls that went on to the fallback model.",
                    &UpstreamSample::fallbacks);
    MetricFamily& breaker = page.add("mtagent_upstream_breaker_state",
                                     "State of the circuit breaker: 0 closed, 1 half-open, 2 open.", MetricType::Gauge);
    for (const UpstreamSample& upstream : process.upstreams) {
        breaker.metric.push_back(gauge({{"model", upstream.model}}, upstream.breaker_state));
    }
    upstream_family(page, process, "mtagent_upstream_first_tokens_total", "Answers whose first token came.",
                    &UpstreamSample::first_token_count);
    MetricFamily& seconds = page.add("mtagent_upstream_first_token_seconds_total",
                                     "Sum of the times from request to first token.", MetricType::Counter);
    for (const UpstreamSample& upstream : process.upstreams) {
        seconds.metric.push_back(counter({{"model", upstream.model}}, upstream.first_token_seconds));
    }
}

}  // namespace

std::string render_metrics(std::span<const TenantSample> tenants, const ProcessSample& process) {
    Page page(tenants);
    add_requests(page, tenants);
    const auto of = [](Counter which) {
        return [which](const TenantSample& sample) { return static_cast<double>(sample.totals.of(which)); };
    };
    page.tenant_family("mtagent_tenant_cache_hits_total", "Answers from the cache.", MetricType::Counter,
                       of(Counter::cache_hits));
    page.tenant_family("mtagent_tenant_cache_misses_total", "Answers computed although cacheable.", MetricType::Counter,
                       of(Counter::cache_misses));
    page.tenant_family("mtagent_tenant_tokens_in_total", "Tokens shown to the model.", MetricType::Counter,
                       of(Counter::tokens_in));
    page.tenant_family("mtagent_tenant_tokens_out_total", "Tokens written by the model.", MetricType::Counter,
                       of(Counter::tokens_out));
    page.tenant_family(
        "mtagent_tenant_latency_seconds_total", "Sum of the latency of served calls.", MetricType::Counter,
        [](const TenantSample& sample) { return static_cast<double>(sample.totals.of(Counter::latency_ns)) / 1e9; });
    page.tenant_family("mtagent_tenant_storage_bytes", "Bytes in the tenant's store.", MetricType::Gauge,
                       [](const TenantSample& sample) { return static_cast<double>(sample.gauges.storage_bytes); });
    page.tenant_family("mtagent_tenant_cache_entries", "Entries in the tenant's cache.", MetricType::Gauge,
                       [](const TenantSample& sample) { return static_cast<double>(sample.gauges.cache_entries); });
    page.tenant_family("mtagent_tenant_in_flight", "Calls being answered.", MetricType::Gauge,
                       [](const TenantSample& sample) { return static_cast<double>(sample.gauges.in_flight); });
    add_budgets(page, tenants);
    page.process_family("mtagent_invalid_requests_total", "Requests refused before a tenant was known.",
                        MetricType::Counter, static_cast<double>(process.invalid_requests));
    add_refusals(page, process);
    add_upstreams(page, process);
    page.process_family("mtagent_connections", "Open connections.", MetricType::Gauge,
                        static_cast<double>(process.connections));
    page.process_family("mtagent_tenants_loaded", "Tenants in memory.", MetricType::Gauge,
                        static_cast<double>(process.tenants));
    page.process_family("mtagent_uptime_seconds", "Seconds since the start.", MetricType::Gauge, process.uptime_s);
    page.process_family("mtagent_build_info", "Version of the program; always 1.", MetricType::Gauge, 1,
                        {{"version", process.version}});
    return page.text();
}

}  // namespace mt
