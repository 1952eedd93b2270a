// The files of deploy/ beside the real /metrics: every name in them is emitted, and their queries and rules are valid.

#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "e2e/busy_site.h"
#include "e2e/metrics_page.h"

namespace mt::test {
namespace {

const std::filesystem::path k_deploy = std::filesystem::path(MT_SOURCE_DIR) / "deploy";

std::string dashboard_text() {
    return read_text(k_deploy / "grafana" / "mtagent.json");
}

// All values of members of this name, however deep.
void collect(const Json& json, const std::string& member, std::vector<std::string>& found) {
    for (const auto& [name, value] : json.items()) {
        if (json.is_object() && name == member && value.is_string()) {
            found.push_back(value);
        } else if (value.is_structured()) {
            collect(value, member, found);
        }
    }
}

std::vector<std::string> dashboard_queries() {
    std::vector<std::string> queries;
    collect(parse_json(dashboard_text()), "expr", queries);
    return queries;
}

// The words of a text that look like names of metrics.
std::set<std::string> names_in(const std::string& text) {
    static const std::regex k_name("\\b(mtagent|tenant|process)_[a-z0-9_]+");
    std::set<std::string> names;
    for (std::sregex_iterator at(text.begin(), text.end(), k_name); at != std::sregex_iterator(); ++at) {
        names.insert(at->str());
    }
    return names;
}

MetricsPage busy_page() {
    BusySite busy;
    busy.make_traffic();
    return read_metrics(busy.server);
}

TEST_CASE("every name in dashboard and alerts is emitted") {
    const MetricsPage page = busy_page();
    std::set<std::string> all_labels;
    for (const auto& [family, labels] : page.labels) {
        all_labels.insert(labels.begin(), labels.end());
    }
    for (const char* file : {"grafana/mtagent.json", "prometheus/alerts.yml", "prometheus/alerts_test.yml"}) {
        CAPTURE(file);
        const std::set<std::string> names = names_in(read_text(k_deploy / file));
        CHECK(names.size() > 10);
        for (const std::string& name : names) {
            const bool is_label = all_labels.contains(name) && !page.types.contains(name);
            CHECK_MESSAGE((is_label || !page.family_of(name).empty()), name, " is not emitted");
        }
    }
}

TEST_CASE("every family that is emitted has its place in the dashboard") {
    const MetricsPage page = busy_page();
    std::set<std::string> shown;
    for (const std::string& query : dashboard_queries()) {
        for (const std::string& name : names_in(query)) {
            shown.insert(page.family_of(name));
        }
    }
    for (const auto& [family, type] : page.types) {
        CHECK_MESSAGE(shown.contains(family), family);
    }
}

// The tables of the man page: labels by family, as its section METRICS has them.
std::map<std::string, std::set<std::string>> documented_metrics() {
    const std::string page = read_text(std::filesystem::path(MT_SOURCE_DIR) / "man" / "mtagent.1");
    const std::size_t start = page.find("\n.Sh METRICS\n");
    REQUIRE(start != std::string::npos);
    const std::string section = page.substr(start, page.find("\n.Sh ", start + 1) - start);
    static const std::regex k_row("\\.It ([a-z_]+) Ta ([a-z_, ]*) ?Ta ");
    std::map<std::string, std::set<std::string>> metrics;
    for (std::sregex_iterator row(section.begin(), section.end(), k_row); row != std::sregex_iterator(); ++row) {
        std::set<std::string>& labels = metrics[(*row)[1].str()];
        const std::size_t of_tenants = section.find("\nOf the process:");
        if (static_cast<std::size_t>(row->position()) < of_tenants) {
            labels.insert("tenant_id");
        }
        static const std::regex k_label("[a-z_]+");
        const std::string named = (*row)[2].str();
        for (std::sregex_iterator at(named.begin(), named.end(), k_label); at != std::sregex_iterator(); ++at) {
            labels.insert(at->str());
        }
    }
    return metrics;
}

TEST_CASE("the man page names every metric with its labels, and no other") {
    const MetricsPage page = busy_page();
    const auto documented = documented_metrics();
    for (const auto& [family, type] : page.types) {
        CAPTURE(family);
        std::set<std::string> labels;
        if (const auto found = page.labels.find(family); found != page.labels.end()) {
            labels = found->second;
        }
        labels.erase("le");
        REQUIRE(documented.contains(family));
        CHECK(documented.at(family) == labels);
    }
    CHECK(documented.size() == page.types.size());
}

// A selector is NAME{LABEL..."..."}; job and instance come from the scrape.
void check_selectors(const MetricsPage& page, const std::string& query) {
    static const std::regex k_selector("\\b([a-z][a-z0-9_]*)\\{([^}]*)\\}");
    static const std::regex k_label("([a-z_]+)(=~|!~|!=|=)\"");
    for (std::sregex_iterator at(query.begin(), query.end(), k_selector); at != std::sregex_iterator(); ++at) {
        const std::string family = page.family_of((*at)[1].str());
        const std::string labels = (*at)[2].str();
        for (std::sregex_iterator label(labels.begin(), labels.end(), k_label); label != std::sregex_iterator();
             ++label) {
            const std::string name = (*label)[1].str();
            const bool known = name == "job" || name == "instance" || name == "le";
            const auto found = page.labels.find(family);
            CHECK_MESSAGE((known || (found != page.labels.end() && found->second.contains(name))), name, " in ", query);
        }
    }
}

TEST_CASE("every selector names labels that its metric has") {
    const MetricsPage page = busy_page();
    const std::vector<std::string> queries = dashboard_queries();
    CHECK(queries.size() > 30);
    for (const std::string& query : queries) {
        check_selectors(page, query);
    }
    check_selectors(page, read_text(k_deploy / "prometheus" / "alerts.yml"));
}

// What Grafana puts in the place of its own variables.
std::string filled_in(std::string query) {
    for (const char* interval : {"$__rate_interval", "$__range"}) {
        for (std::size_t at = query.find(interval); at != std::string::npos; at = query.find(interval)) {
            query.replace(at, std::string_view(interval).size(), "5m");
        }
    }
    return query;
}

TEST_CASE("promtool takes the alerts, their tests, the example of a scrape, and each query of the dashboard") {
    const Site site;
    if (!has_promtool(site)) {
        return;
    }
    const std::string prometheus = "cd '" + (k_deploy / "prometheus").string() + "' && promtool ";
    for (const char* words : {"check rules --lint=all --lint-fatal alerts.yml", "test rules alerts_test.yml",
                              "check config --lint=all --lint-fatal prometheus.yml"}) {
        const Outcome done = run_shell(site, prometheus + words);
        CHECK_MESSAGE(done.exit == 0, words, ": ", done.out);
    }
    std::ostringstream rules;
    rules << "groups:\n  - name: dashboard\n    rules:\n";
    for (const std::string& query : dashboard_queries()) {
        rules << "      - record: query:" << rules.tellp() << "\n        expr: " << Json(filled_in(query)).dump()
              << "\n";
    }
    site.write("dashboard.yml", rules.str());
    const Outcome done = run_shell(site, "promtool check rules dashboard.yml");
    CHECK_MESSAGE(done.exit == 0, done.out);
}

TEST_CASE("the dashboard can be imported: one data source variable, panels apart from each other") {
    const Json board = parse_json(dashboard_text());
    CHECK(board.at("id").is_null());
    CHECK(board.at("schemaVersion") >= 38);
    std::set<std::string> variables;
    for (const Json& variable : board.at("templating").at("list")) {
        variables.insert(variable.at("name"));
    }
    CHECK(variables == std::set<std::string>{"datasource", "instance", "job", "tenant_id"});
    std::set<int> ids;
    std::set<std::pair<int, int>> taken;
    for (const Json& panel : board.at("panels")) {
        CAPTURE(panel.at("title").get<std::string>());
        CHECK(ids.insert(panel.at("id").get<int>()).second);
        const Json& place = panel.at("gridPos");
        CHECK(place.at("x").get<int>() + place.at("w").get<int>() <= 24);
        for (int x = place.at("x"); x < place.at("x").get<int>() + place.at("w").get<int>(); ++x) {
            for (int y = place.at("y"); y < place.at("y").get<int>() + place.at("h").get<int>(); ++y) {
                CHECK_MESSAGE(taken.emplace(x, y).second, "two panels at ", x, ",", y);
            }
        }
        if (panel.at("type") != "row") {
            CHECK(panel.at("datasource").at("uid") == "${datasource}");
            CHECK_FALSE(panel.at("targets").empty());
        }
    }
}

}  // namespace
}  // namespace mt::test
