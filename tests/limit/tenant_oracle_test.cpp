#include "limit/tenant_oracle.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "limit/limit_fixture.h"
#include "limit/limits.h"

using namespace mt;
using namespace mt::test;
using Random = std::mt19937_64;

namespace {

std::int64_t pick(Random& random, std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
}

LimitSettings pick_settings(Random& random) {
    LimitSettings settings;
    settings.rate_limit = pick(random, 1, 3000);
    settings.burst = pick(random, 1, 200);
    settings.tokens_per_minute = pick(random, 1, 100'000);
    settings.max_concurrency = pick(random, 1, 30);
    settings.budget = settings.tokens_per_minute * pick(random, 1, 40) / 8 + 1;
    settings.budget_period = random() % 2 == 0 ? BudgetPeriod::day : BudgetPeriod::month;
    return settings;
}

// The limits and the oracle side by side, through calls that end in any order and use what they like.
class SideBySide {
  public:
    SideBySide(std::uint64_t seed, const LimitSettings& settings)
        : m_random(seed), m_settings(settings), m_fixture(settings), m_oracle(settings, m_fixture.clock.boot_ns()) {}

    // What disagrees after one step, or "".
    std::string step() {
        pass_time();
        std::string fault;
        switch (m_random() % 16) {
            case 0:
            case 1:
            case 2:
            case 3:
            case 4:
                end_a_call();
                break;
            case 5:
                m_settings.budget = std::max<std::int64_t>(1, m_settings.budget + pick(m_random, -50, 50));
                m_fixture.limits->reconfigure(m_settings);
                m_oracle.set_budget(m_settings.budget);
                break;
            default:
                fault = begin_a_call();
        }
        return fault.empty() ? state_fault() : fault;
    }

    /// Whether a call got less than it wanted and more than its least.
    [[nodiscard]] bool partly() const { return m_partly; }
    [[nodiscard]] const std::set<std::string>& reasons() const { return m_reasons; }

  private:
    struct Open {
        std::int64_t call;
        std::int64_t tokens;
        Permit permit;
    };

    void pass_time() {
        if (m_random() % 3 == 0) {
            m_fixture.wait(pick(m_random, 0, k_minute_ns / m_settings.rate_limit * 4));
        }
        if (m_random() % 200 == 0) {
            m_fixture.clock.step_wall(std::chrono::milliseconds{pick(m_random, 0, 2 * 86'400'000)});
        }
        m_oracle.at(m_fixture.clock.boot_ns(), m_fixture.clock.wall());
    }

    Cost pick_cost() {
        const std::int64_t most = m_settings.tokens_per_minute;
        const std::int64_t tokens = m_random() % 50 == 0   ? pick(m_random, 0, 2 * most)
                                    : m_random() % 8 == 0  ? m_oracle.room()
                                    : m_random() % 50 == 0 ? 0
                                                           : pick(m_random, 0, most / 10);
        return {m_random() % 10 == 0 ? pick(m_random, 1, m_settings.burst) : 1, tokens};
    }

    std::string begin_a_call() {
        Cost cost = pick_cost();
        cost.least_tokens = m_random() % 4 == 0 ? pick(m_random, 0, cost.tokens) : 0;
        Result<Permit> permit = m_fixture.limits->admit(cost, Context{});
        if (cost.least_tokens > 0) {
            const std::int64_t most = std::clamp(m_oracle.room(), cost.least_tokens, cost.tokens);
            m_partly = m_partly || (permit && most < cost.tokens && most > cost.least_tokens);
            cost.tokens = most;
        }
        if (permit && permit->granted() != cost.tokens) {
            return "granted";
        }
        const std::string reason = permit ? "" : permit.error().reason;
        m_reasons.insert(reason);
        const bool full = static_cast<std::int64_t>(m_open.size()) >= m_settings.max_concurrency;
        if ((reason == "concurrency" && !full) || (permit && full)) {
            return "concurrency";
        }
        std::string fault = m_oracle.fault(cost, reason, permit ? std::nullopt : permit.error().retry_after);
        if (permit) {
            m_oracle.admit(++m_last, cost);
            m_open.push_back({m_last, cost.tokens, std::move(*permit)});
        }
        return fault;
    }

    void end_a_call() {
        if (m_open.empty()) {
            return;
        }
        std::swap(m_open[m_random() % m_open.size()], m_open.back());
        Open& open = m_open.back();
        if (m_random() % 8 == 0) {
            m_oracle.drop(open.call);
        } else {
            const std::int64_t over = m_random() % 6 == 0 ? pick(m_random, 0, open.tokens + 10) : 0;
            const Cost used{pick(m_random, 0, 1), over > 0 ? open.tokens + over : pick(m_random, 0, open.tokens)};
            open.permit.settle(used);
            m_oracle.settle(open.call, used);
        }
        m_open.pop_back();
    }

    std::string state_fault() {
        const std::int64_t now = m_fixture.clock.boot_ns();
        if (std::max<std::int64_t>(0, m_fixture.request_tat_ns.load() - now) != m_oracle.request_level_ns()) {
            return "level of requests";
        }
        if (std::max<std::int64_t>(0, m_fixture.token_tat_ns.load() - now) != m_oracle.token_level_ns()) {
            return "level of tokens";
        }
        if (m_fixture.limits->status().budget_used != m_oracle.used()) {
            return "use of the budget";
        }
        const bool full = static_cast<std::int64_t>(m_open.size()) >= m_settings.max_concurrency;
        return full || m_fixture.room() == m_oracle.room() ? "" : "room";
    }

    Random m_random;
    LimitSettings m_settings;
    LimitFixture m_fixture;
    TenantOracle m_oracle;
    std::vector<Open> m_open;
    std::int64_t m_last = 0;
    std::set<std::string> m_reasons;
    bool m_partly = false;
};

}  // namespace

TEST_CASE("property: all limits together agree with a literal account of every call") {
    Random random(21);
    std::set<std::string> reasons;
    bool partly = false;
    for (int round = 0; round < 1500; ++round) {
        SideBySide run(random(), pick_settings(random));
        for (int step = 0; step < 2000; ++step) {
            const std::string fault = run.step();
            if (!fault.empty()) {
                FAIL("round ", round, " step ", step, ": ", fault);
            }
        }
        reasons.insert(run.reasons().begin(), run.reasons().end());
        partly = partly || run.partly();
    }
    CHECK(reasons == std::set<std::string>{"", "requests", "tokens", "concurrency", "budget"});
    CHECK(partly);
}
