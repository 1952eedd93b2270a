#include "stats/metrics.h"

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace mt;

namespace {

bool has_line(const std::string& text, const std::string& line) {
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("refusals of the transport are shown by reason, those without a count too") {
    ProcessSample process;
    process.refusals = {{"request_timeout", 0}, {"busy", 7}};
    const std::string text = render_metrics({}, process);
    CHECK(has_line(text, "# TYPE mtagent_http_refusals_total counter"));
    CHECK(has_line(text, "mtagent_http_refusals_total{reason=\"request_timeout\"} 0"));
    CHECK(has_line(text, "mtagent_http_refusals_total{reason=\"busy\"} 7"));
}

TEST_CASE("upstreams are shown by model, each number under its own name") {
    ProcessSample process;
    UpstreamSample first;
    first.model = "gpt \"x\"";
    first.breaker_state = 2;
    first.requests_ok = 11;
    first.requests_failed = 12;
    first.retries = 13;
    first.fallbacks = 14;
    first.rejected = 15;
    first.first_token_count = 16;
    first.first_token_seconds = 1.75;
    UpstreamSample second;
    second.model = "local";
    process.upstreams = {first, second};
    const std::string text = render_metrics({}, process);
    for (const char* line : {
             "# TYPE mtagent_upstream_requests_total counter",
             R"(mtagent_upstream_requests_total{model="gpt \"x\"",outcome="ok"} 11)",
             R"(mtagent_upstream_requests_total{model="gpt \"x\"",outcome="failed"} 12)",
             R"(mtagent_upstream_requests_total{model="gpt \"x\"",outcome="rejected"} 15)",
             R"(mtagent_upstream_requests_total{model="local",outcome="ok"} 0)",
             "# TYPE mtagent_upstream_retries_total counter",
             R"(mtagent_upstream_retries_total{model="gpt \"x\""} 13)",
             R"(mtagent_upstream_fallbacks_total{model="gpt \"x\""} 14)",
             "# TYPE mtagent_upstream_breaker_state gauge",
             R"(mtagent_upstream_breaker_state{model="gpt \"x\""} 2)",
             R"(mtagent_upstream_breaker_state{model="local"} 0)",
             R"(mtagent_upstream_first_token_seconds_count{model="gpt \"x\""} 16)",
             R"(mtagent_upstream_first_token_seconds_sum{model="gpt \"x\""} 1.75)",
         }) {
        CHECK_MESSAGE(has_line(text, line), line);
    }
}

TEST_CASE("budgets are shown of the tenants that have one") {
    TenantSample with;
    with.tenant = "acme";
    with.gauges.budget_tokens = 1000;
    with.gauges.budget_used_tokens = 1234;
    TenantSample without;
    without.tenant = "basic";
    without.gauges.budget_used_tokens = 7;
    const std::string text = render_metrics(std::array{with, without}, {});
    CHECK(has_line(text, "# TYPE mtagent_tenant_budget_tokens gauge"));
    CHECK(has_line(text, "mtagent_tenant_budget_tokens{tenant_id=\"acme\"} 1000"));
    CHECK(has_line(text, "mtagent_tenant_budget_used_tokens{tenant_id=\"acme\"} 1234"));
    CHECK(text.find("budget_tokens{tenant_id=\"basic\"}") == std::string::npos);
    CHECK(text.find("budget_used_tokens{tenant_id=\"basic\"}") == std::string::npos);
}
