#include <doctest/doctest.h>

#include <algorithm>
#include <barrier>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "limit/limit_fixture.h"
#include "limit/limits.h"
#include "limit/tenant_oracle.h"

using namespace mt;
using namespace mt::test;

namespace {

constexpr int k_threads = 64;
constexpr int k_calls = 2000;  // of each thread
constexpr std::int64_t k_most_reserved = 200;
constexpr std::int64_t k_most_over = 50;  // an upstream uses at most as many tokens more than were reserved

LimitSettings crowd_settings() {
    LimitSettings settings;
    settings.rate_limit = 1200;
    settings.burst = 300;
    settings.tokens_per_minute = 30'000;
    settings.max_concurrency = 7;
    settings.budget = 35'000;
    return settings;
}

// A clock that goes on each time it is asked, and tells a thread what it told it last. The limits ask it once for each
// decision while they hold their lock: so the times of the decisions are their order. Some days of wall time pass.
class TickClock final : public Clock {
  public:
    [[nodiscard]] std::int64_t boot_ns() const override {
        std::int64_t now = m_now.load();
        std::int64_t next = 0;
        do {
            next = now + 1 + now / 7 % 1'500'000;
        } while (!m_now.compare_exchange_weak(now, next));
        told = next;
        if (next % 8 == 0) {
            std::this_thread::yield();  // others get in between here, if the lock lets them
        }
        return next;
    }
    [[nodiscard]] WallTime wall() const override { return wall_at(told); }

    static WallTime wall_at(std::int64_t boot_ns) {
        constexpr std::int64_t k_days_per_minute = 2;
        return WallTime{
            std::chrono::milliseconds{1'795'392'000'000 + boot_ns / 1'000'000 * 24 * 60 * k_days_per_minute}};
    }
    void advance(std::int64_t ns) { m_now += ns; }

    static thread_local std::int64_t told;

  private:
    mutable std::atomic<std::int64_t> m_now{3'600'000'000'000};
};
thread_local std::int64_t TickClock::told = 0;

enum class What { admission, settlement, loss, leaving, left };

// `leaving` and `left` enclose the unknown moment in which a call gives back its place.
struct Event {
    std::int64_t time_ns;
    What what;
    std::int64_t call;
    Cost cost;
    std::string reason{};
    std::optional<std::chrono::nanoseconds> retry_after{};
};

// One client after the other, on a thread of its own; every decision is written down.
class Client {
  public:
    Client(Limits& limits, const TickClock& clock, int number)
        : m_limits(limits),
          m_clock(clock),
          m_random(static_cast<std::uint64_t>(number) + 31),
          m_next(number * k_calls) {}

    Result<Permit> admit(std::int64_t tokens, std::int64_t least) {
        Result<Permit> permit = m_limits.admit(Cost{1, tokens, least}, Context{});
        const Cost cost{1, permit ? permit->granted() : least};
        m_cost = cost;
        m_events.push_back({TickClock::told, What::admission, ++m_next, cost, permit ? "" : permit.error().reason,
                            permit ? std::nullopt : permit.error().retry_after});
        return permit;
    }

    // The upstream uses less, nothing, more, or dies.
    void finish(Permit& permit) {
        const auto fate = m_random() % 4;
        if (fate < 3) {
            const Cost used{1, fate == 0   ? pick(0, m_cost.tokens)
                               : fate == 1 ? 0
                                           : m_cost.tokens + pick(1, k_most_over)};
            permit.settle(used);
            m_events.push_back({TickClock::told, What::settlement, m_next, used});
        }
        const std::int64_t leaving = m_clock.boot_ns();
        permit = Permit();
        if (fate == 3) {
            m_events.push_back({TickClock::told, What::loss, m_next, m_cost});
        }
        m_events.push_back({leaving, What::leaving, m_next, m_cost});
        m_events.push_back({m_clock.boot_ns(), What::left, m_next, m_cost});
    }

    void call() {
        const std::int64_t tokens = pick(1, k_most_reserved);
        Result<Permit> permit = admit(tokens, m_random() % 4 == 0 ? 1 : tokens);
        if (!permit || m_random() % 16 == 0) {
            std::this_thread::yield();
        }
        if (permit) {
            finish(*permit);
        }
    }

    [[nodiscard]] const std::vector<Event>& events() const { return m_events; }

  private:
    std::int64_t pick(std::int64_t low, std::int64_t high) {
        return low + static_cast<std::int64_t>(m_random() % static_cast<std::uint64_t>(high - low + 1));
    }

    Limits& m_limits;
    const TickClock& m_clock;
    std::mt19937_64 m_random;
    std::int64_t m_next;
    Cost m_cost{};
    std::vector<Event> m_events;
};

// Runs the crowd and returns all of its events in the order of their times.
std::vector<Event> run_crowd(Limits& limits, const TickClock& clock) {
    std::vector<Client> clients;
    for (int i = 0; i < k_threads; ++i) {
        clients.emplace_back(limits, clock, i);
    }
    std::barrier all_asked(k_threads);
    {
        std::vector<std::jthread> threads;
        for (Client& client : clients) {
            threads.emplace_back([&] {
                Result<Permit> first = client.admit(1, 1);
                all_asked.arrive_and_wait();  // so that every place was taken once
                if (first) {
                    client.finish(*first);
                }
                for (int i = 1; i < k_calls; ++i) {
                    client.call();
                }
            });
        }
    }
    std::vector<Event> events;
    for (const Client& client : clients) {
        events.insert(events.end(), client.events().begin(), client.events().end());
    }
    std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.time_ns < b.time_ns; });
    return events;
}

// Every decision must be the one that a literal account makes of the decisions before it. Returns what is wrong.
std::string replay(const std::vector<Event>& events, TenantOracle& oracle) {
    for (const Event& event : events) {
        oracle.at(event.time_ns, TickClock::wall_at(event.time_ns));
        if (event.what == What::admission) {
            const std::string fault = oracle.fault(event.cost, event.reason, event.retry_after);
            if (!fault.empty()) {
                return fault;
            }
            if (event.reason.empty()) {
                oracle.admit(event.call, event.cost);
            }
        } else if (event.what == What::settlement) {
            oracle.settle(event.call, event.cost);
        } else if (event.what == What::loss) {
            oracle.drop(event.call);
        }
    }
    return "";
}

// Bounds of the calls in flight: what is surely there keeps to the limit, and a refusal was for a reason.
bool concurrency_holds(const std::vector<Event>& events, std::int64_t most) {
    std::int64_t surely = 0;
    std::int64_t perhaps = 0;
    bool holds = true;
    for (const Event& event : events) {
        const bool admitted = event.what == What::admission && event.reason.empty();
        surely += admitted ? 1 : event.what == What::leaving ? -1 : 0;
        perhaps += admitted ? 1 : event.what == What::left ? -1 : 0;
        holds = holds && surely <= most && (event.reason != "concurrency" || perhaps >= most);
    }
    return holds && surely == 0 && perhaps == 0;
}

}  // namespace

TEST_CASE("property: 64 threads with upstreams that use more, less, nothing or die exceed no cap") {
    const LimitSettings settings = crowd_settings();
    TickClock clock;
    std::atomic<std::int64_t> state[4]{};
    const auto limits = make_local_limits(settings, LimiterState{state[0], state[1], state[2], state[3]}, clock);
    TenantOracle oracle(settings, clock.boot_ns());
    const std::vector<Event> events = run_crowd(*limits, clock);

    CHECK(replay(events, oracle) == "");
    CHECK(concurrency_holds(events, settings.max_concurrency));
    CHECK(limits->in_flight() == 0);

    std::map<std::string, int> reasons;
    WindowBound bound(settings.rate_limit, settings.burst);
    bool within = true;
    for (const Event& event : events) {
        if (event.what == What::admission) {
            ++reasons[event.reason];
            within = within && (!event.reason.empty() || bound.add(event.time_ns, 1));
        }
    }
    CHECK(within);
    for (const char* reason : {"", "requests", "tokens", "concurrency", "budget"}) {
        CHECK_MESSAGE(reasons[reason] > 0, std::string(reason));
    }

    bool over = false;
    for (const auto& [day, used] : oracle.use_by_period()) {
        CHECK(used <= settings.budget + settings.max_concurrency * k_most_over);
        over = over || used > settings.budget - k_most_reserved;
    }
    CHECK(over);  // or the budget was no limit to anybody

    // The state is the account's, and time heals all of it but the budget.
    const LimitStatus status = limits->status();
    oracle.at(TickClock::told, clock.wall());
    CHECK(status.budget_used == oracle.used());
    CHECK(oracle.reserved() == 0);
    CHECK(std::max<std::int64_t>(0, state[0] - TickClock::told) == oracle.request_level_ns());
    CHECK(std::max<std::int64_t>(0, state[1] - TickClock::told) == oracle.token_level_ns());
    clock.advance(2 * k_minute_ns);
    const LimitStatus later = limits->status();
    CHECK(later.remaining == settings.burst);
    CHECK(later.reset_ns == 0);
    CHECK(later.tokens_remaining == settings.tokens_per_minute);
    CHECK(later.token_reset_ns == 0);
    CHECK(later.budget_used == 0);
    const std::int64_t most = std::min(settings.tokens_per_minute, settings.budget);
    CHECK(limits->admit(Cost{1, most}, Context{}));
}
