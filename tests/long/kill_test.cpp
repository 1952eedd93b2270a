// kill -9 again and again: no acknowledged call is lost, none is counted twice, and limits give no extra burst.

#include <csignal>
#include <cstdio>
#include <random>
#include <vector>

#include "e2e/chat.h"
#include "support/lanes.h"

namespace mt::test {
namespace {

using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

constexpr int k_cycles = 200;
constexpr int k_cycles_per_check = 20;
constexpr std::size_t k_tenants = 50;
constexpr std::int64_t k_rate = 120;
constexpr std::int64_t k_burst = 20;

// Of ten tenants in a row: what is special about them.
enum class Kind { plain, limited, wrong_key, repeating, failing };
constexpr std::array k_kinds{Kind::plain,   Kind::limited,   Kind::plain,     Kind::repeating, Kind::failing,
                             Kind::limited, Kind::wrong_key, Kind::repeating, Kind::plain,     Kind::limited};

Kind kind_of(std::size_t tenant) {
    return k_kinds[tenant % k_kinds.size()];
}

Target target_of(std::size_t tenant) {
    constexpr std::size_t k_repeated = 3;
    const Kind kind = kind_of(tenant);
    return {"t" + std::to_string(tenant), kind == Kind::wrong_key ? "wrong" : "",
            kind == Kind::repeating ? k_repeated : 0, kind != Kind::failing};
}

std::string toml_of(std::size_t tenant) {
    const Kind kind = kind_of(tenant);
    const std::string id = target_of(tenant).id;
    if (kind == Kind::wrong_key) {
        return "[[tenants]]\nid = \"" + id + "\"\nauth = \"key\"\nplan = \"enterprise\"\n";
    }
    return tenant_toml(id, kind == Kind::failing   ? "model = \"gone\"\n"
                           : kind == Kind::limited ? "rate_limit = " + std::to_string(k_rate) +
                                                         "\nburst = " + std::to_string(k_burst) + "\n"
                                                   : "");
}

std::string site_toml() {
    // Nobody can listen on port 1 but root, and nobody does.
    std::string toml =
        "[server]\naccess_log = false\n[models.gone]\nbase_url = \"http://127.0.0.1:1/v1\"\nretries = 0\n"
        "connect_timeout = \"500ms\"\ntimeout = \"1s\"\n";
    for (std::size_t i = 0; i < k_tenants; ++i) {
        toml += toml_of(i);
    }
    return toml;
}

// The tenants, what was stored of them after the last kill, and what clients saw since the first start.
class Killing {
  public:
    Killing() {
        for (std::size_t i = 0; i < k_tenants; ++i) {
            m_targets.push_back(target_of(i));
            m_all.push_back(i);
        }
        m_stored.resize(k_tenants);
        m_nothing.resize(k_tenants);
    }

    // A life of the server: load, and the end at a moment that nobody chose.
    void live_and_die() {
        Server server = m_site.serve();
        Lanes lanes(server.port(), m_targets);
        for (const std::size_t depth : {1, 1, 4, 32}) {
            lanes.start({m_all, depth});
        }
        static_cast<void>(server.process().ended(std::chrono::milliseconds{m_random() % 300}));
        CHECK(server.kill().exit < 0);
        const std::vector<Seen> seen = lanes.join();
        CHECK_FALSE(lanes.timed_out());
        m_replies += lanes.replies();
        expect_books(seen);
    }

    // The end comes before it serves anybody, or soon after.
    void die_at_birth() {
        Process server = m_site.start({"serve", "--listen", "127.0.0.1:0"});
        static_cast<void>(server.ended(std::chrono::milliseconds{m_random() % 50}));
        server.signal(SIGKILL);
        CHECK(server.wait().exit == -SIGKILL);
        expect_books(m_nothing);
    }

    void expect_sound() const { CHECK(m_site.json({"check"})["faults"].empty()); }

    // The next server tells the same numbers.
    void expect_same_in_next_life() {
        Server server = m_site.serve();
        const Json numbers = parse_json(server.get("/stats").body);
        for (std::size_t i = 0; i < k_tenants; ++i) {
            CHECK(counts_of(numbers[m_targets[i].id]) == m_stored[i]);
        }
    }

    void print() const {
        std::int64_t allowed = 0;
        for (std::size_t i = 0; i < k_tenants; ++i) {
            allowed += kind_of(i) == Kind::limited ? served(i) : 0;
        }
        std::printf(
            "kill -9: %d cycles in %.0f s, %lld replies, %lld in flight at a kill, of which %lld were stored; "
            "limited tenants: %lld calls served\n",
            k_cycles, std::chrono::duration<double>(SteadyClock::now() - m_start).count(),
            static_cast<long long>(m_replies), static_cast<long long>(m_in_flight),
            static_cast<long long>(m_stored_unseen), static_cast<long long>(allowed));
        for (std::size_t outcome = 0; outcome < k_outcomes; ++outcome) {
            std::int64_t sum = 0;
            for (const Counts& counts : m_stored) {
                sum += counts[outcome];
            }
            std::printf("  %s: %lld\n", std::string(k_counter_names[outcome]).c_str(), static_cast<long long>(sum));
        }
    }

  private:
    [[nodiscard]] std::int64_t served(std::size_t tenant) const { return m_stored[tenant][index_of(Counter::served)]; }

    void expect_books(const std::vector<Seen>& seen) {
        const std::int64_t elapsed_ns = std::chrono::nanoseconds{SteadyClock::now() - m_start}.count();
        const std::int64_t most = k_burst + elapsed_ns / (60'000'000'000 / k_rate);
        const Json numbers = m_site.json({"stats"});
        for (std::size_t i = 0; i < k_tenants; ++i) {
            const Counts now = counts_of(numbers[m_targets[i].id]);
            const std::string wrong = disagreement(m_stored[i], now, seen[i].counts, seen[i].in_flight);
            CHECK_MESSAGE(wrong.empty(), m_targets[i].id, ":", wrong);
            CHECK(seen[i].refused == 0);
            m_in_flight += seen[i].in_flight;
            for (std::size_t outcome = 0; outcome < k_outcomes; ++outcome) {
                m_stored_unseen += now[outcome] - m_stored[i][outcome] - seen[i].counts[outcome];
            }
            m_stored[i] = now;
            CHECK_MESSAGE((kind_of(i) != Kind::limited || served(i) <= most), m_targets[i].id, ": ", served(i),
                          " calls served, at most ", most, " may be");
        }
    }

    const SteadyClock::time_point m_start = SteadyClock::now();
    Site m_site{site_toml()};
    std::mt19937 m_random{5};
    std::vector<Target> m_targets;
    std::vector<std::size_t> m_all;
    std::vector<Counts> m_stored;
    std::vector<Seen> m_nothing;
    std::int64_t m_replies = 0;
    std::int64_t m_in_flight = 0;
    std::int64_t m_stored_unseen = 0;
};

TEST_CASE("kill -9 at random moments: acknowledged <= stored <= acknowledged + in flight, by tenant and outcome") {
    Killing killing;
    for (int cycle = 1; cycle <= k_cycles; ++cycle) {
        CAPTURE(cycle);
        cycle % 10 == 0 ? killing.die_at_birth() : killing.live_and_die();
        if (cycle % k_cycles_per_check == 0) {
            killing.expect_sound();
        }
    }
    killing.expect_same_in_next_life();
    killing.expect_sound();
    killing.print();
}

}  // namespace
}  // namespace mt::test
