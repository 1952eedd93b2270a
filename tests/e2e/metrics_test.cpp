// /metrics as Prometheus sees it: well-formed, in agreement with /stats, and never going back.

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "e2e/busy_site.h"
#include "e2e/chat.h"
#include "e2e/metrics_page.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;

std::string series(const std::string& name, const std::string& tenant, const std::string& more = "") {
    return name + "{tenant_id=\"" + tenant + "\"" + (more.empty() ? "" : "," + more) + "}";
}

void check_clean(const Site& site, const MetricsPage& page) {
    site.write("page", page.text);
    const Outcome checked = run_shell(site, "promtool check metrics <page");
    CHECK_MESSAGE(checked.exit == 0, checked.out);
    CHECK_MESSAGE(checked.out.empty(), checked.out);
}

TEST_CASE("promtool finds no fault with /metrics after traffic of every kind") {
    BusySite busy;
    busy.make_traffic();
    const MetricsPage page = read_metrics(busy.server);
    if (has_promtool(busy.site)) {
        check_clean(busy.site, page);
    }
    for (const char* reason : {"requests", "tokens", "concurrency", "budget", "feature", "overload"}) {
        const double count = page.sum("mtagent_tenant_denied_total", "reason=\"" + std::string(reason) + "\"");
        CHECK_MESSAGE(count >= 1, "no denial by ", reason);
    }
    CHECK(page.sum("mtagent_tenant_cache_hits_total") >= 1);
    CHECK(page.sum("tenant_requests_total", "status=\"unauthorized\"") == 1);
    CHECK(page.sum("mtagent_invalid_requests_total") >= 2);
    CHECK(page.sum("mtagent_http_refusals_total") >= 1);
    CHECK(page.sum("mtagent_errors_total", "reason=\"upstream\"") >= 1);
    CHECK(page.sum("mtagent_errors_total", "reason=\"client_gone\"") == 1);
    CHECK(page.at(R"(mtagent_agent_queue_refusals_total{reason="full"})") == 1);
    CHECK(page.at(R"(mtagent_upstream_breaker_state{model="gone"})") == 2);
    CHECK(page.at(R"(mtagent_upstream_requests_total{model="gone",outcome="rejected"})") >= 1);
    CHECK(page.at(R"(mtagent_upstream_fallbacks_total{model="shaky.one:8b_x-1"})") == 1);
}

// Each number of /stats beside the series that must say the same.
void check_tenant(const MetricsPage& page, const std::string& tenant, const Json& numbers) {
    const std::array<std::pair<std::string, std::string>, 4> statuses{
        {{"allowed", "/served"}, {"error", "/errors"}, {"denied", "/denied"}, {"unauthorized", "/unauthorized"}}};
    for (const auto& [status, place] : statuses) {
        CHECK_MESSAGE(page.at(series("tenant_requests_total", tenant, "status=\"" + status + "\"")) ==
                          numbers.at(Json::json_pointer(place)),
                      tenant, " ", status);
    }
    for (const auto& [reason, count] : numbers.at("denied_by_reason").items()) {
        const double shown = page.at(series("mtagent_tenant_denied_total", tenant, "reason=\"" + reason + "\""));
        CHECK_MESSAGE(std::max(shown, 0.0) == count, tenant, " ", reason);
    }
    for (const std::string name : {"cache_hits", "cache_misses", "tokens_in", "tokens_out"}) {
        CHECK_MESSAGE(page.at(series("mtagent_tenant_" + name + "_total", tenant)) == numbers.at(name), tenant, name);
    }
    for (const std::string name : {"storage_bytes", "cache_entries", "in_flight"}) {
        CHECK_MESSAGE(page.at(series("mtagent_tenant_" + name, tenant)) == numbers.at(name), tenant, name);
    }
    const double count = page.at(series("mtagent_tenant_latency_seconds_count", tenant));
    CHECK(count == numbers.at("served"));
    const double mean_ms = 1000 * page.at(series("mtagent_tenant_latency_seconds_sum", tenant)) / std::max(count, 1.0);
    CHECK(mean_ms == doctest::Approx(numbers.at("avg_latency_ms").get<double>()).epsilon(0.001).scale(1));
}

TEST_CASE("/metrics and /stats agree, number by number, and the process's own counts with the sum of the tenants'") {
    BusySite busy;
    busy.make_traffic();
    const MetricsPage page = read_metrics(busy.server);
    const Json stats = parse_json(busy.server.get("/stats").body);
    CHECK(stats.size() == BusySite::k_tenants);
    double allowed = 0;
    double errors = 0;
    double served = 0;
    for (const auto& [tenant, numbers] : stats.items()) {
        check_tenant(page, tenant, numbers);
        allowed += numbers.at("allowed").get<double>();
        errors += numbers.at("errors").get<double>();
        served += numbers.at("served").get<double>();
    }
    CHECK(errors >= 2);
    CHECK(page.at("mtagent_request_duration_seconds_count") == allowed);
    CHECK(page.at(R"(mtagent_request_duration_seconds_bucket{le="+Inf"})") == allowed);
    CHECK(page.at("mtagent_time_to_first_token_seconds_count") == served);
    CHECK(page.sum("mtagent_errors_total") == errors);
    CHECK(page.sum("tenant_requests_total", "_other") == 0);
}

TEST_CASE("a budget is shown with what was used of it") {
    BusySite busy;
    busy.make_traffic();
    const MetricsPage page = read_metrics(busy.server);
    CHECK(page.at(series("mtagent_tenant_budget_tokens", "thrifty")) == 40);
    const double tokens = page.at(series("mtagent_tenant_tokens_in_total", "thrifty")) +
                          page.at(series("mtagent_tenant_tokens_out_total", "thrifty"));
    CHECK(tokens > 0);
    CHECK(page.at(series("mtagent_tenant_budget_used_tokens", "thrifty")) == tokens);
    CHECK(page.at(series("mtagent_tenant_budget_tokens", "basic")) == -1);
}

// What may not fall: counters, and all that histograms and summaries count.
void check_no_fall(const MetricsPage& before, const MetricsPage& after) {
    for (const auto& [series, value] : before.values) {
        const std::string family = before.family_of(series);
        if (before.types.at(family) == "gauge" || family.starts_with("process_")) {
            continue;
        }
        const auto now = after.values.find(series);
        CHECK_MESSAGE(now != after.values.end(), series, " is gone");
        CHECK_MESSAGE((now == after.values.end() || now->second >= value), series, ": ", value, " before");
    }
}

// Tenants that come, ask and go through /admin, and how often each was answered, over all of its lives.
class Crowd {
  public:
    explicit Crowd(const Site& site, Server& server) : m_server(server) {
        m_fields = bearer(site.operator_token());
        m_fields.emplace_back("Content-Type", "application/json");
    }

    [[nodiscard]] bool is_there(const std::string& tenant) const { return m_present.contains(tenant); }

    void add(const std::string& tenant) {
        const std::string body = Json{{"id", tenant}, {"auth", "open"}, {"rate_limit", 1'000'000}}.dump();
        const auto added = [&] { return m_server.send("POST", "/admin/tenants", m_fields, body).status == 201; };
        CHECK(time_until(added, 10s));
        m_present.insert(tenant);
    }
    void remove(const std::string& tenant) {
        const int status = m_server.send("DELETE", "/admin/tenants/" + tenant, m_fields).status;
        CHECK_MESSAGE((status == 204 || status == 202), status);
        m_present.erase(tenant);
    }
    void call(const std::string& tenant) {
        const auto served = [&] { return m_server.get("/" + tenant + "?q=Hello").status == 200; };
        CHECK(time_until(served, 10s));
        ++m_served[tenant];
    }

    [[nodiscard]] double served(const std::string& tenant) const {
        const auto found = m_served.find(tenant);
        return found == m_served.end() ? 0 : found->second;
    }
    [[nodiscard]] double served() const {
        double sum = 0;
        for (const auto& [tenant, count] : m_served) {
            sum += count;
        }
        return sum;
    }

  private:
    Server& m_server;
    http::Fields m_fields;
    std::set<std::string> m_present{};
    std::map<std::string, double> m_served{};
};

TEST_CASE("no counter falls while tenants come and go, past metrics_tenants they add up in _other") {
    const Site site("[server]\nmetrics_tenants = 2\n");
    Server server = site.serve();
    Crowd crowd(site, server);
    const std::array<std::string, 6> tenants{"a", "b", "c", "d", "e", "f"};
    const std::array<std::string, 2> first{"d", "b"};
    const auto of = [](const std::string& tenant) {
        return series("tenant_requests_total", tenant, "status=\"allowed\"");
    };
    for (const std::string& tenant : first) {
        crowd.add(tenant);
        crowd.call(tenant);
    }
    std::mt19937 random(7);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same steps every time
    MetricsPage page = read_metrics(server);
    for (int step = 0; step < 200; ++step) {
        const std::string& tenant = tenants.at(random() % tenants.size());
        CAPTURE(step);
        CAPTURE(tenant);
        if (!crowd.is_there(tenant)) {
            crowd.add(tenant);
        } else if (random() % 3 == 0) {
            crowd.remove(tenant);
        } else {
            crowd.call(tenant);
        }
        MetricsPage next = read_metrics(server);
        check_no_fall(page, next);
        CHECK(next.at(of("d")) == crowd.served("d"));
        CHECK(next.at(of("b")) == crowd.served("b"));
        CHECK(next.at(of("_other")) == crowd.served() - crowd.served("d") - crowd.served("b"));
        for (const char* other : {"a", "c", "e", "f"}) {
            CHECK(next.at(of(other)) == -1);
        }
        page = std::move(next);
    }
    CHECK(page.at("mtagent_request_duration_seconds_count") == crowd.served());
}

TEST_CASE("names that would need escaping in a label are refused") {
    const Site site(R"([server]
listen = "127.0.0.1:0"
[models."plain.one:8b_x-1"]
base_url = "http://127.0.0.1:1/v1"
[[tenants]]
id = "acme"
auth = "open"
plan = "enterprise"
)");
    Server server = site.serve();
    http::Fields who = bearer(site.operator_token());
    who.emplace_back("Content-Type", "application/json");
    for (const char* name : {"a\"b", "a\\b", "a\nb", "a b", "{a}", "\u00e9"}) {
        CAPTURE(name);
        CHECK(server.send("POST", "/admin/tenants", who, Json{{"id", name}}.dump()).status == 400);
        const Json model{{"name", name}, {"base_url", "https://llm.example.com/v1"}, {"model", "m"}};
        CHECK(server.send("POST", "/admin/tenants/acme/models", who, model.dump()).status == 400);
        const std::string key = Json(name).dump();  // a quoted key of TOML is written as a text of JSON
        site.write("odd.toml", "[models." + key + "]\nbase_url = \"http://127.0.0.1:1/v1\"\n");
        CHECK(site.run({"--config", "odd.toml", "check"}).exit == 78);
    }
    const MetricsPage page = read_metrics(server);
    CHECK(page.at(R"(mtagent_upstream_breaker_state{model="plain.one:8b_x-1"})") == 0);
    CHECK(page.text.find('\\') == std::string::npos);
    if (has_promtool(site)) {
        check_clean(site, page);
    }
}

}  // namespace
}  // namespace mt::test
