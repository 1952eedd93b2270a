#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "e2e/site.h"

namespace mt::test {

/// A page of /metrics, read apart. A plain value.
struct MetricsPage {
    std::string text{};
    std::map<std::string, std::string> types{};             ///< of families: counter, gauge, histogram, summary
    std::map<std::string, std::set<std::string>> labels{};  ///< names of labels by family
    std::map<std::string, double> values{};                 ///< by series, as it stands there: name{label="value"}

    explicit MetricsPage(std::string page) : text(std::move(page)) {
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            const std::string k_type = "# TYPE ";
            if (line.starts_with(k_type)) {
                const std::size_t blank = line.find(' ', k_type.size());
                types[line.substr(k_type.size(), blank - k_type.size())] = line.substr(blank + 1);
            } else if (!line.empty() && line[0] != '#') {
                add_series(line);
            }
        }
    }

    /// "x" of "x{...}", "x_count{...}" and the like; "" when no such family is on the page.
    [[nodiscard]] std::string family_of(const std::string& series) const {
        const std::string name = series.substr(0, series.find('{'));
        if (types.contains(name)) {
            return name;
        }
        for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
            const std::string family = name.substr(0, name.size() - std::min(suffix.size(), name.size()));
            const auto found = types.find(family);
            if (name.ends_with(suffix) && found != types.end() &&
                (found->second == "histogram" || (found->second == "summary" && suffix != "_bucket"))) {
                return family;
            }
        }
        return "";
    }

    /// The value of a series; -1 when there is none.
    [[nodiscard]] double at(const std::string& series) const {
        const auto found = values.find(series);
        return found == values.end() ? -1 : found->second;
    }

    /// The sum of all series of this name whose labels contain `part`.
    [[nodiscard]] double sum(const std::string& name, const std::string& part = "") const {
        double sum = 0;
        for (const auto& [series, value] : values) {
            const bool fits = series == name || series.starts_with(name + "{");
            sum += fits && series.find(part, name.size()) != std::string::npos ? value : 0;
        }
        return sum;
    }

  private:
    void add_series(const std::string& line) {
        const std::size_t blank = line.rfind(' ');
        const std::string series = line.substr(0, blank);
        const bool fresh = values.emplace(series, std::stod(line.substr(blank + 1))).second;
        CHECK_MESSAGE(fresh, "twice: ", series);
        const std::string family = family_of(series);
        CHECK_MESSAGE(!family.empty(), "no type: ", series);
        std::size_t at = series.find('{');
        while (at < series.size() && series[at] != '}') {
            const std::size_t equals = series.find("=\"", at);
            REQUIRE(equals != std::string::npos);
            labels[family].insert(series.substr(at + 1, equals - at - 1));
            at = equals + 2;
            while (series.at(at) != '"') {
                at += series[at] == '\\' ? 2 : 1;
            }
            ++at;
        }
    }
};

inline MetricsPage read_metrics(Server& server) {
    return MetricsPage(server.get("/metrics").body);
}

/// What a shell command said, and how it ended. Nothing else of the test runs meanwhile.
inline Outcome run_shell(const Site& site, const std::string& command) {
    const std::string log = site.path("shell.log");
    const std::string whole = "cd '" + site.path().string() + "' && { " + command + "; } >shell.log 2>&1";
    const int status = std::system(whole.c_str());  // NOLINT(concurrency-mt-unsafe)
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(log), {}};
}

/// False, and said so, on a machine without promtool.
inline bool has_promtool(const Site& site) {
    const bool there = run_shell(site, "command -v promtool").exit == 0;
    if (!there) {
        MESSAGE("SKIPPED: promtool (Debian's package prometheus) is not installed");
    }
    return there;
}

}  // namespace mt::test
