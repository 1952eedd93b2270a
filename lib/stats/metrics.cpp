#include "stats/metrics.h"

#include <string>
#include <utility>

#include "stats/metric_page.h"

namespace mt {
namespace {

using Labels = MetricPage::Labels;
using Tenants = std::span<const TenantSample>;

double as_double(std::int64_t value) {
    return static_cast<double>(value);
}

Labels label_of(const TenantSample& sample) {
    return {{"tenant_id", sample.tenant}};
}

Labels labels_of(const TenantSample& sample, const char* name, const char* value) {
    return {{"tenant_id", sample.tenant}, {name, value}};
}

void add_requests(MetricPage& page, Tenants tenants) {
    constexpr std::size_t k_statuses = 4;
    MetricPage::Family& requests = page.counter("tenant_requests_total", "Calls of the tenant's agent by status.");
    requests.reserve(k_statuses * tenants.size());
    for (const TenantSample& sample : tenants) {
        const Totals& totals = sample.totals;
        requests.add(as_double(totals.of(Counter::served)), labels_of(sample, "status", "allowed"));
        requests.add(as_double(totals.of(Counter::failed)), labels_of(sample, "status", "error"));
        requests.add(as_double(totals.denied()), labels_of(sample, "status", "denied"));
        requests.add(as_double(totals.of(Counter::unauthorized)), labels_of(sample, "status", "unauthorized"));
    }
}

void add_denials(MetricPage& page, Tenants tenants) {
    constexpr std::pair<const char*, Counter> k_reasons[]{
        {"requests", Counter::denied_requests},       {"tokens", Counter::denied_tokens},
        {"concurrency", Counter::denied_concurrency}, {"budget", Counter::denied_budget},
        {"feature", Counter::denied_feature},         {"overload", Counter::denied_overload}};
    MetricPage::Family& denied =
        page.counter("mtagent_tenant_denied_total", "Denied calls by the limit or feature that refused.");
    for (const TenantSample& sample : tenants) {
        for (const auto& [reason, counter] : k_reasons) {
            if (const std::int64_t count = sample.totals.of(counter); count > 0) {
                denied.add(as_double(count), labels_of(sample, "reason", reason));
            }
        }
    }
}

void add_counters(MetricPage& page, Tenants tenants) {
    constexpr struct {
        const char* name;
        const char* help;
        Counter counter;
    } k_families[]{
        {"mtagent_tenant_cache_hits_total", "Answers from the cache.", Counter::cache_hits},
        {"mtagent_tenant_cache_misses_total", "Answers computed although cacheable.", Counter::cache_misses},
        {"mtagent_tenant_tokens_in_total", "Tokens shown to the model.", Counter::tokens_in},
        {"mtagent_tenant_tokens_out_total", "Tokens written by the model.", Counter::tokens_out},
    };
    for (const auto& [name, help, counter] : k_families) {
        MetricPage::Family& family = page.counter(name, help);
        family.reserve(tenants.size());
        for (const TenantSample& sample : tenants) {
            family.add(as_double(sample.totals.of(counter)), label_of(sample));
        }
    }
    MetricPage::Family& latency = page.summary("mtagent_tenant_latency_seconds", "Latency of served calls.");
    latency.reserve(tenants.size());
    for (const TenantSample& sample : tenants) {
        latency.add_summary(sample.totals.of(Counter::served), as_double(sample.totals.of(Counter::latency_ns)) / 1e9,
                            label_of(sample));
    }
}

void add_gauges(MetricPage& page, Tenants tenants) {
    constexpr struct {
        const char* name;
        const char* help;
        std::int64_t Gauges::*value;
    } k_families[]{
        {"mtagent_tenant_storage_bytes", "Bytes in the tenant's store.", &Gauges::storage_bytes},
        {"mtagent_tenant_cache_entries", "Entries in the tenant's cache.", &Gauges::cache_entries},
        {"mtagent_tenant_in_flight", "Calls being answered.", &Gauges::in_flight},
    };
    for (const auto& [name, help, value] : k_families) {
        MetricPage::Family& family = page.gauge(name, help);
        family.reserve(tenants.size());
        for (const TenantSample& sample : tenants) {
            family.add(as_double(sample.gauges.*value), label_of(sample));
        }
    }
}

// Of tenants that have a budget.
void add_budgets(MetricPage& page, Tenants tenants) {
    MetricPage::Family& budget =
        page.gauge("mtagent_tenant_budget_tokens", "Token budget of the present day or month.");
    MetricPage::Family& used =
        page.gauge("mtagent_tenant_budget_used_tokens", "Tokens of the budget that ended calls have used.");
    for (const TenantSample& sample : tenants) {
        if (sample.gauges.budget_tokens > 0) {
            budget.add(as_double(sample.gauges.budget_tokens), label_of(sample));
            used.add(as_double(sample.gauges.budget_used_tokens), label_of(sample));
        }
    }
}

}  // namespace

std::string render_metrics(std::span<const TenantSample> tenants, const ProcessSample& process) {
    MetricPage page;
    add_requests(page, tenants);
    add_denials(page, tenants);
    add_counters(page, tenants);
    add_gauges(page, tenants);
    add_budgets(page, tenants);
    add_process_metrics(page, process);
    return std::move(page).text();
}

}  // namespace mt
