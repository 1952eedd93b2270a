// Many clients at once before models that use more than was reserved for them, less, nothing that they tell, or that
// die: no limit is ever exceeded, and nothing is lost on any path.

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "stats/history.h"
#include "support/chat_scripts.h"
#include "support/service_house.h"

using namespace mt;
using namespace mt::test;

namespace {

constexpr int k_threads = 64;
constexpr std::int64_t k_budget = 40'000;
constexpr std::int64_t k_paced = 20'000;  // tokens per minute, where they are limited
constexpr std::int64_t k_rate = 6'000;
constexpr std::int64_t k_burst = 200;
constexpr int k_answer = 100;  // the bound that every model is told
constexpr int k_prompt = 390;  // what a question with the schemas of all tools takes, a token for every 4 bytes

// How the models behave, and what that may cost.
struct Behaviour {
    const char* name;
    std::function<Script(int number)> script;
    std::int64_t max_concurrency;    ///< 0: unlimited
    std::int64_t tokens_per_minute;  ///< 0: unlimited
    std::int64_t over = 0;           ///< tokens that one call may use above its reservation
    bool reports = true;             ///< every call's use is told by the model
    bool leaves = false;             ///< some clients hang up in mid-stream
};

// The models' side of all calls.
class Models {
  public:
    explicit Models(const Behaviour& behaviour)
        : m_behaviour(behaviour), upstream([this](const Recorded& request, ScriptedReply& out) {
              const int now = ++m_running;
              int most = m_most.load();
              while (now > most && !m_most.compare_exchange_weak(most, now)) {
              }
              std::this_thread::yield();
              --m_running;  // before the reply: whoever has it may ask again
              m_behaviour.script(request.number)(request, out);
          }) {}

    [[nodiscard]] int most_at_once() const { return m_most; }

  private:
    const Behaviour& m_behaviour;
    std::atomic<int> m_running{0};
    std::atomic<int> m_most{0};

  public:
    ScriptedUpstream upstream;
};

// Reads along; some hang up at the first word.
class Reader final : public Sink {
  public:
    explicit Reader(bool leaves) : m_leaves(leaves) {}
    bool on_event(const ModelEvent& /*event*/) override { return !m_leaves; }

  private:
    bool m_leaves;
};

// The tenant "acme", its crowd, and what they saw.
class Crowd {
  public:
    explicit Crowd(const Behaviour& behaviour) : m_behaviour(behaviour), models(behaviour) {
        house.configure("[models.big]\nbase_url = \"" + models.upstream.url("/v1") +
                        "\"\nretries = 0\nmax_tokens = " + std::to_string(k_answer) + "\n");
        REQUIRE(house.add_open("acme", {{"model", std::string("big")},
                                        {"rate_limit", k_rate},
                                        {"burst", k_burst},
                                        {"tokens_per_minute", behaviour.tokens_per_minute},
                                        {"max_concurrency", behaviour.max_concurrency},
                                        {"budget", std::to_string(k_budget) + "/day"}}));
        tenant = *house.tenants.find("acme");
    }

    // Everybody asks until the budget is spent, or too little of it is left.
    void ask_until_spent() {
        std::vector<std::jthread> threads;
        for (int i = 0; i < k_threads; ++i) {
            threads.emplace_back([this, i] {
                for (int call = i; ask(call); call += k_threads) {
                }
            });
        }
    }

  private:
    // False: there is no more.
    bool ask(int number) {
        const std::int64_t in_flight = tenant->limits->in_flight();
        if (m_behaviour.max_concurrency > 0 && in_flight > m_behaviour.max_concurrency) {
            ++too_many;
        }
        Reader reader(m_behaviour.leaves && number % 5 == 0);
        Call call(reader);
        call.tenant_id = "acme";
        call.question = Question{"question " + std::to_string(number), ""};
        call.question->stream = number % 2 == 0;
        call.route = "test";
        const Result<void> outcome = run_pipeline(call, house.pipeline);
        used += call.answer.usage.total();
        estimated += call.answer.usage.estimated ? 1 : 0;
        if (outcome) {
            ++served;
            return true;
        }
        const Error& error = outcome.error();
        if (error.code == Code::rate_limited) {
            pass_time(std::chrono::milliseconds{error.reason == "concurrency" ? 0 : 20});
            return true;
        }
        failed += error.code == Code::budget_spent ? 0 : 1;
        return error.code != Code::budget_spent || !error.retry_after;  // held by calls in flight: ask again
    }

    void pass_time(std::chrono::milliseconds time) {
        std::this_thread::yield();
        const std::lock_guard lock(m_mutex);
        house.clock.advance(time);
        elapsed_ms += time.count();
    }

    const Behaviour& m_behaviour;
    std::mutex m_mutex{};

  public:
    Models models;
    ServiceHouse house{};
    std::shared_ptr<const Tenant> tenant{};
    std::atomic<std::int64_t> used{0};
    std::atomic<std::int64_t> served{0};
    std::atomic<std::int64_t> failed{0};
    std::atomic<std::int64_t> estimated{0};
    std::atomic<std::int64_t> too_many{0};
    std::int64_t elapsed_ms = 0;
};

void expect_all_bounds(Crowd& crowd, const Behaviour& behaviour) {
    const std::int64_t over = behaviour.over * std::max<std::int64_t>(behaviour.max_concurrency, 1);
    const std::int64_t calls = crowd.served + crowd.failed;
    std::printf("%-10s %5lld calls, %5lld failed, %6lld tokens of %lld, %3d at once, %6.1f s passed\n", behaviour.name,
                static_cast<long long>(calls), static_cast<long long>(crowd.failed.load()),
                static_cast<long long>(crowd.used.load()), static_cast<long long>(k_budget),
                crowd.models.most_at_once(), static_cast<double>(crowd.elapsed_ms) / 1e3);
    const std::int64_t used = crowd.used;
    CHECK(used <= k_budget + over);
    if (behaviour.tokens_per_minute > 0) {
        CHECK(used <= behaviour.tokens_per_minute * (60'000 + crowd.elapsed_ms) / 60'000 + over);
    }
    CHECK(calls <= k_burst + k_rate * crowd.elapsed_ms / 60'000);
    if (behaviour.max_concurrency > 0) {
        CHECK(crowd.models.most_at_once() <= behaviour.max_concurrency);
        CHECK(crowd.too_many == 0);
    }
    // Nothing that was reserved is lost: less than one reservation is left.
    constexpr std::int64_t k_reservation = 1500;
    CHECK(used > k_budget - k_reservation);
    WARN(crowd.models.most_at_once() > 1);  // a busy machine may run them one by one
}

void expect_agreement(Crowd& crowd, const Behaviour& behaviour) {
    ServiceHouse& house = crowd.house;
    CHECK(crowd.tenant->limits->in_flight() == 0);
    CHECK(house.stats.one("acme")->gauges.in_flight == 0);
    const Totals totals = house.totals("acme");
    CHECK(totals.of(Counter::tokens_in) + totals.of(Counter::tokens_out) == crowd.used.load());
    CHECK(crowd.tenant->limits->status().budget_used == crowd.used.load());
    CHECK(totals.of(Counter::served) == crowd.served.load());
    CHECK(totals.of(Counter::failed) == crowd.failed.load());
    CHECK((crowd.estimated == 0) == behaviour.reports);
    REQUIRE(house.ledger.flush());
    const std::string uid = crowd.tenant->record.uid;
    CHECK(History(house.files, "acme", house.slots->writer()).totals()->own == totals);
    CHECK(Books(house.files, house.slots.get(), "acme", uid).verify()->faults.empty());
}

void run(const Behaviour& behaviour) {
    CAPTURE(std::string(behaviour.name));
    Crowd crowd(behaviour);
    crowd.ask_until_spent();
    expect_all_bounds(crowd, behaviour);
    expect_agreement(crowd, behaviour);
}

Script die(int number) {
    return number % 2 == 0 ? cut_stream({"some", " words"}, number % 4 == 0)
                           : Script([](const Recorded&, ScriptedReply& out) { out.cut(); });
}

// One in five fails; the breaker stays closed.
Script mixed(int number) {
    constexpr int k_kinds = 10;
    switch (number % k_kinds) {
        case 1:
        case 6:
            return chat({"a", "b"}, ChatUsage{500, 900});
        case 2:
        case 7:
            return chat({"no", "body", "tells"}, std::nullopt);
        case 3:
            return die(number);
        case 8:
            return chat_error(500);
        default:
            return chat({"a", "b"}, ChatUsage{20, 30});
    }
}

}  // namespace

TEST_CASE("64 clients, models that use what was reserved or less: no token above any limit") {
    for (const std::int64_t concurrency : {0, 7}) {
        for (const std::int64_t tokens : {std::int64_t{0}, k_paced}) {
            run({"less", [](int) { return chat({"a"}, ChatUsage{3, 10}); }, concurrency, tokens});
            run({"all", [](int) { return chat({"a", "b"}, ChatUsage{k_prompt, k_answer}); }, concurrency, tokens});
        }
    }
}

TEST_CASE("64 clients, models that use more than was reserved: above by as much as those in flight together") {
    for (const std::int64_t tokens : {std::int64_t{0}, k_paced}) {
        run({"more", [](int) { return chat({"a", "b"}, ChatUsage{500, 900}); }, 7, tokens, 900});
    }
}

TEST_CASE("64 clients, models that tell nothing of their use: the estimate counts") {
    for (const std::int64_t tokens : {std::int64_t{0}, k_paced}) {
        run({"none",
             [](int) {
                 return chat({"some words", " and some more of them"}, std::nullopt);
             },
             7, tokens, 0, false});
    }
}

TEST_CASE("64 clients, models of every kind, that die, and clients that hang up") {
    for (const std::int64_t tokens : {std::int64_t{0}, k_paced}) {
        run({"mixed", mixed, 7, tokens, 900, false, true});
    }
}
