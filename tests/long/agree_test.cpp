// A million calls of every kind: all views of the numbers say what the clients saw, number by number.

#include <cmath>
#include <cstdio>
#include <map>
#include <utility>
#include <vector>

#include "e2e/chat.h"
#include "sqlite/database.h"
#include "support/lanes.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t k_calls = 1'000'000;
constexpr std::int64_t k_failing_calls = 5'000;
constexpr std::int64_t k_modelled_calls = 4'000;
constexpr std::size_t k_hangups = 200;
constexpr std::size_t k_hangups_at_once = 50;

// What one view says of one tenant.
struct Numbers {
    Counts counts{};
    double latency_ms = 0;  ///< mean over served calls
};

using View = std::map<std::string, Numbers>;

struct Client {
    Target target;
    std::string settings;
    std::string own_key{};  ///< that opens it, whatever the target sends
};

std::vector<Client> clients() {
    constexpr std::size_t k_repeated = 50;
    std::vector<Client> all;
    for (const char* id : {"plain-0", "plain-1", "plain-2", "plain-3"}) {
        all.push_back({{id}, "model = \"builtin\"\n"});
    }
    all.push_back({{"repeating-0", "", k_repeated}, "model = \"builtin\"\n"});
    all.push_back({{"repeating-1", "", k_repeated}, "model = \"builtin\"\ncache_size = 20\n"});
    all.push_back({{"limited"}, "model = \"builtin\"\nrate_limit = 600\n"});
    all.push_back({{"thrifty", "", 0, false}, "model = \"builtin\"\ncache_size = 0\nbudget = \"5000/day\"\n"});
    all.push_back({{"quiet", "", 0, false}, "model = \"builtin\"\ncache_size = 0\ntokens_per_minute = 5000\n"});
    all.push_back({{"bare"}, "model = \"builtin\"\nfeatures = [\"advanced-analytics\"]\n"});
    all.push_back({{"closed", "wrong"}, "model = \"builtin\"\n"});
    all.push_back({{"failing", "", 0, false}, "model = \"gone\"\n"});
    all.push_back({{"modelled", "", 0, false}, "model = \"big\"\n"});
    all.push_back({{"hasty", "", 0, false}, "model = \"mute\"\n"});
    return all;
}

// Tenants by their place in clients().
constexpr std::size_t k_quick = 11;
constexpr std::size_t k_failing = 11;
constexpr std::size_t k_modelled = 12;
constexpr std::size_t k_hasty = 13;

// The server, its tenants, and what their clients saw.
class Million {
  public:
    Million() : m_site(toml()) {
        m_site.out({"tenant", "apply"});
        for (Client& client : m_clients) {
            client.own_key = m_site.create_key({client.target.id});
            if (client.target.key.empty()) {
                client.target.key = client.own_key;
            }
            m_targets.push_back(client.target);
        }
    }

    // Everybody asks at the same time, and those in haste hang up.
    void ask(Server& server) {
        const auto start = std::chrono::steady_clock::now();
        Lanes lanes(server.port(), m_targets);
        const std::int64_t quick_calls = k_calls - k_failing_calls - k_modelled_calls - std::int64_t{k_hangups};
        std::vector<std::size_t> quick;
        for (std::size_t i = 0; i < k_quick; ++i) {
            quick.insert(quick.end(), i < 6 ? 2 : 1, i);  // half of them are served
        }
        constexpr int k_lanes = 4;
        for (int i = 0; i < k_lanes; ++i) {
            lanes.start({quick, 32, quick_calls / k_lanes});
            lanes.start({{k_modelled}, 4, k_modelled_calls / k_lanes});
        }
        lanes.start({{k_failing}, 4, k_failing_calls});
        hang_up(server);
        m_seen.clear();
        std::int64_t all = k_hangups;
        for (const Seen& seen : lanes.join()) {
            CHECK(seen.in_flight == 0);
            CHECK(seen.refused == 0);
            m_seen.push_back(seen.counts);
            for (std::size_t outcome = 0; outcome < k_outcomes; ++outcome) {
                all += seen.counts[outcome];
            }
        }
        m_seen[k_hasty][index_of(Counter::failed)] = k_hangups;
        CHECK(all == k_calls);
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        std::printf("%lld calls in %.1f s\n", static_cast<long long>(all), seconds);
        print();
        CHECK(time_until([&] { return settled(server); }, 10s));
    }

    void expect(const std::string& view, const View& said) const {
        for (std::size_t i = 0; i < m_clients.size(); ++i) {
            const std::string& id = m_targets[i].id;
            REQUIRE_MESSAGE(said.contains(id), view, " does not know ", id);
            for (std::size_t counter = 0; counter < m_seen[i].size(); ++counter) {
                CHECK_MESSAGE(said.at(id).counts[counter] == m_seen[i][counter], view, ", ", id, ", ",
                              std::string(k_counter_names[counter]));
            }
            CHECK_MESSAGE(said.at(id).latency_ms == doctest::Approx(m_latency.at(id)).epsilon(1e-9), view, ", ", id);
        }
    }

    // The mean latency that the other views have to tell, too; nobody but the server knows it.
    void learn_latency(const View& said) {
        for (const Client& client : m_clients) {
            m_latency[client.target.id] = said.at(client.target.id).latency_ms;
            const bool served = m_seen[static_cast<std::size_t>(&client - m_clients.data())][0] > 0;
            CHECK((m_latency[client.target.id] > 0) == served);
        }
    }

    [[nodiscard]] const std::vector<Client>& clients_here() const { return m_clients; }
    [[nodiscard]] const Site& site() const { return m_site; }

  private:
    std::string toml() {
        std::string text = "[server]\naccess_log = false\n" + model_toml(m_model) +
                           model_toml(m_mute, "retries = 0\n", "mute") +
                           "[models.gone]\nbase_url = \"http://127.0.0.1:1/v1\"\nretries = 0\n";
        for (const Client& client : m_clients) {
            const bool limited = client.settings.find("rate_limit") != std::string::npos;
            text += "[[tenants]]\nid = \"" + client.target.id + "\"\nplan = \"enterprise\"\n" +
                    (limited ? "" : "rate_limit = 1000000000\n") + client.settings;
        }
        return text;
    }

    void hang_up(Server& server) {
        for (std::size_t left = 0; left < k_hangups; left += k_hangups_at_once) {
            std::vector<std::unique_ptr<RawClient>> callers;
            for (std::size_t i = 0; i < k_hangups_at_once; ++i) {
                callers.push_back(std::make_unique<RawClient>(http::Address{"127.0.0.1", server.port(), ""}));
                REQUIRE(callers.back()->send(
                    "GET /hasty?q=" + std::to_string(left + i) +
                    " HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " + m_clients[k_hasty].own_key + "\r\n\r\n"));
            }
            REQUIRE(m_mute.wait_for_requests(left + k_hangups_at_once));
        }
    }

    // Those who hung up are noticed.
    [[nodiscard]] bool settled(Server& server) const {
        const Json numbers = numbers_of(server, m_targets[k_hasty].id);
        return numbers["in_flight"] == 0 && numbers["errors"] == k_hangups;
    }

    void print() const {
        for (std::size_t counter = 0; counter < std::tuple_size_v<Counts>; ++counter) {
            std::int64_t sum = 0;
            for (const Counts& counts : m_seen) {
                sum += counts[counter];
            }
            std::printf("  %s: %lld\n", std::string(k_counter_names[counter]).c_str(), static_cast<long long>(sum));
        }
    }

    ScriptedUpstream m_model{chat({"answer"})};
    ScriptedUpstream m_mute{[](const Recorded&, ScriptedReply& out) { out.keep_silent(); }};
    std::vector<Client> m_clients = clients();
    Site m_site;
    std::vector<Target> m_targets;
    std::vector<Counts> m_seen;
    std::map<std::string, double> m_latency;
};

Numbers numbers_in(const Json& json) {
    return {counts_of(json), json.at("avg_latency_ms").get<double>()};
}

// {"<tenant>": numbers, ...}
View view_of(const Json& all) {
    View view;
    for (const auto& [tenant, numbers] : all.items()) {
        view.emplace(tenant, numbers_in(numbers));
    }
    return view;
}

// What each tenant is told with its own key: now, over the last hour, and in steps of that.
struct OwnViews {
    View now;
    View hour;
    View steps;
};

OwnViews own_views(Server& server, const std::vector<Client>& clients) {
    OwnViews views;
    for (const auto& [target, settings, key] : clients) {
        const Json json = parse_json(server.get("/" + target.id + "/stats?since=1h&step=1m", bearer(key)).body);
        views.now.emplace(target.id, numbers_in(json));
        views.hour.emplace(target.id, numbers_in(json["since"]["totals"]));
        CHECK(json["latency_ms"] == json["since"]["latency_ms"]);
        Numbers sum;
        for (const Json& step : json["since"]["series"]) {
            const Numbers part = numbers_in(step);
            for (std::size_t i = 0; i < part.counts.size(); ++i) {
                sum.counts[i] += part.counts[i];
            }
        }
        sum.latency_ms = numbers_in(json).latency_ms;  // means of rounded means prove nothing
        views.steps.emplace(target.id, sum);
    }
    return views;
}

// The value of a series, 0 where there is none.
double value_of(const std::string& page, const std::string& series) {
    const std::size_t at = page.find("\n" + series + " ");
    return at == std::string::npos ? 0 : std::stod(page.substr(at + series.size() + 2, 40));
}

double three_decimals(double value) {
    return std::round(value * 1000) / 1000;
}

View metrics_view(Server& server, const std::vector<Client>& clients) {
    const std::string page = server.get("/metrics").body;
    View view;
    for (const Client& client : clients) {
        const std::string tenant = "tenant_id=\"" + client.target.id + "\"";
        const auto count = [&](const std::string& name, const std::string& label = "") {
            return std::llround(value_of(page, name + "{" + tenant + label + "}"));
        };
        const auto calls = [&](const std::string& status) {
            return count("tenant_requests_total", ",status=\"" + status + "\"");
        };
        Numbers numbers;
        std::int64_t denied = 0;
        for (std::size_t i = 0; i < numbers.counts.size(); ++i) {
            const std::string name(k_counter_names[i]);
            const bool is_denial = name.starts_with("denied_");
            numbers.counts[i] = i == index_of(Counter::served)         ? calls("allowed")
                                : i == index_of(Counter::failed)       ? calls("error")
                                : i == index_of(Counter::unauthorized) ? calls("unauthorized")
                                : is_denial ? count("mtagent_tenant_denied_total", ",reason=\"" + name.substr(7) + "\"")
                                            : count("mtagent_tenant_" + name + "_total");
            denied += is_denial ? numbers.counts[i] : 0;
        }
        CHECK(calls("denied") == denied);
        const double served = value_of(page, "mtagent_tenant_latency_seconds_count{" + tenant + "}");
        CHECK(std::llround(served) == numbers.counts[0]);
        const double sum = value_of(page, "mtagent_tenant_latency_seconds_sum{" + tenant + "}");
        numbers.latency_ms = served > 0 ? three_decimals(sum / served * 1000) : 0;
        view.emplace(client.target.id, numbers);
    }
    return view;
}

// The sum over the rows of a table of each tenant's own file.
View files_view(const Site& site, const std::vector<Client>& clients, const std::string& table) {
    std::string sums;
    for (const std::string_view name : k_counter_names) {
        sums += (sums.empty() ? "SUM(" : ", SUM(") + std::string(name) + ")";
    }
    View view;
    for (const Client& client : clients) {
        Result<std::unique_ptr<Database>> file =
            Database::open(site.path("data/tenants") / (client.target.id + ".db"), {});
        REQUIRE(file);
        Numbers numbers;
        const Result<void> read = (*file)->run([&]() -> Result<void> {
            Query row = (*file)->query("SELECT " + sums + " FROM " + table);
            REQUIRE(row.step());
            for (std::size_t i = 0; i < numbers.counts.size(); ++i) {
                numbers.counts[i] = row.integer(static_cast<int>(i));
            }
            const auto latency_ns = static_cast<double>(row.integer(static_cast<int>(numbers.counts.size())));
            const auto served = static_cast<double>(numbers.counts[0]);
            numbers.latency_ms = served > 0 ? three_decimals(latency_ns / served / 1e6) : 0;
            return {};
        });
        CHECK(read);
        view.emplace(client.target.id, numbers);
    }
    return view;
}

TEST_CASE("a million calls of every kind: every view says what the clients saw, tenant by tenant, number by number") {
    Million million;
    const Site& site = million.site();
    {
        Server server = site.serve();
        million.ask(server);
        const View all = view_of(parse_json(server.get("/stats").body));
        million.learn_latency(all);
        million.expect("GET /stats", all);
        const OwnViews own = own_views(server, million.clients_here());
        million.expect("GET /{tenant}/stats", own.now);
        million.expect("its last hour", own.hour);
        million.expect("the sum of its minutes", own.steps);
        million.expect("GET /metrics", metrics_view(server, million.clients_here()));
        million.expect("stats beside the server", view_of(site.json({"stats"})));
        million.expect("stats --since beside the server", view_of(site.json({"stats", "--since", "1h"})));
        CHECK(server.terminate().exit == 0);
    }
    million.expect("stats", view_of(site.json({"stats"})));
    million.expect("stats --since", view_of(site.json({"stats", "--since", "1h"})));
    million.expect("ledger_minutes", files_view(site, million.clients_here(), "ledger_minutes"));
    million.expect("ledger_totals", files_view(site, million.clients_here(), "ledger_totals"));
    const Json check = site.json({"check"});
    CHECK(check["faults"].empty());
    CHECK(check["tenants"] == million.clients_here().size());
}

}  // namespace
}  // namespace mt::test
