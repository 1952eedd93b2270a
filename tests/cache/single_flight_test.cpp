#include "cache/single_flight.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

using mt::Code;
using mt::Context;
using mt::Error;
using mt::Result;
using mt::SingleFlight;

namespace {

// Waits for a condition that another thread is about to bring; false when it did not in ten seconds.
template <class Condition>
bool eventually(const Condition& condition) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds{10};
    while (!condition()) {
        if (std::chrono::steady_clock::now() > give_up) {
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

const mt::SystemClock k_clock;

Context context_of(std::stop_token stop) {
    Context context;
    context.stop = std::move(stop);
    return context;
}

// A caller on a thread of its own, with a client that can leave.
class Caller {
  public:
    Caller(SingleFlight& flights, std::string key, SingleFlight::Compute compute)
        : m_outcome(std::async(std::launch::async,
                               [&flights, key = std::move(key), compute = std::move(compute),
                                stop = m_client.get_token()] { return flights.run(key, context_of(stop), compute); })) {
    }

    void leave() { m_client.request_stop(); }
    [[nodiscard]] bool returned() const {
        return m_outcome.wait_for(std::chrono::seconds{0}) == std::future_status::ready;
    }
    SingleFlight::Outcome outcome() { return m_outcome.get(); }

  private:
    std::stop_source m_client;
    std::future<SingleFlight::Outcome> m_outcome;
};

// A computation that waits until it is told to end, or is stopped.
struct Gate {
    SingleFlight::Compute compute(std::string value) {
        return [this, value = std::move(value)](const std::stop_token& stop) -> Result<std::string> {
            ++started;
            if (!eventually([&] { return open.load() || stop.stop_requested(); })) {
                return Error{Code::timeout, "the gate stayed shut"};
            }
            stopped = stop.stop_requested();
            ++ended;
            return open ? Result<std::string>(value) : Error{Code::client_gone, "stopped"};
        };
    }

    std::atomic<int> started{0};
    std::atomic<int> ended{0};
    std::atomic<bool> open{false};
    std::atomic<bool> stopped{false};
};

SingleFlight::Compute never() {
    return [](const std::stop_token&) -> Result<std::string> { return Error{Code::internal, "must not run"}; };
}

enum class End { value, own_error, gone, wrong };

// One caller of a short computation of its key, which fails or is left by its client on another thread.
End one_call(SingleFlight& flights, const std::string& key, bool fails, bool leaves) {
    std::stop_source client;
    std::jthread leaver;
    if (leaves) {
        leaver = std::jthread([&client] { client.request_stop(); });
    }
    const auto compute = [&](const std::stop_token& stop) -> Result<std::string> {
        std::this_thread::yield();
        if (fails || stop.stop_requested()) {
            return Error{Code::upstream, "own"};
        }
        return key;
    };
    const SingleFlight::Outcome outcome = flights.run(key, context_of(client.get_token()), compute);
    if (outcome.value) {
        return *outcome.value == key ? End::value : End::wrong;
    }
    if (client.stop_requested()) {
        return End::gone;
    }
    return fails && !outcome.shared ? End::own_error : End::wrong;
}

SingleFlight::Compute give(std::string value) {
    return [value = std::move(value)](const std::stop_token&) -> Result<std::string> { return value; };
}

}  // namespace

TEST_CASE("32 callers of one key compute once and share the value") {
    SingleFlight flights(k_clock);
    Gate gate;
    Caller leader(flights, "k", gate.compute("value"));
    REQUIRE(eventually([&] { return gate.started == 1; }));
    std::vector<std::unique_ptr<Caller>> followers;
    followers.reserve(31);
    for (int i = 0; i < 31; ++i) {
        followers.push_back(std::make_unique<Caller>(flights, "k", never()));
    }
    REQUIRE(eventually([&] { return flights.waiting("k") == 31; }));
    gate.open = true;
    const SingleFlight::Outcome led = leader.outcome();
    CHECK(led.value);
    CHECK_FALSE(led.shared);
    for (const auto& follower : followers) {
        const SingleFlight::Outcome outcome = follower->outcome();
        REQUIRE(outcome.value);
        CHECK(*outcome.value == "value");
        CHECK(outcome.shared);
    }
    CHECK(gate.started == 1);
    CHECK(flights.waiting("k") == 0);
    CHECK(*flights.run("k", Context{}, give("new")).value == "new");
}

TEST_CASE("an error is the leader's own: a waiting caller computes in turn and the rest share that") {
    SingleFlight flights(k_clock);
    Gate gate;
    std::atomic<int> computed{0};
    const auto failing = [&](const std::stop_token& stop) -> Result<std::string> {
        static_cast<void>(gate.compute("")(stop));
        return Error{Code::upstream, "broken"};
    };
    const auto counting = [&](const std::stop_token&) -> Result<std::string> {
        ++computed;
        static_cast<void>(eventually([&] { return flights.waiting("k") == 2; }));
        return std::string("second");
    };
    Caller leader(flights, "k", failing);
    REQUIRE(eventually([&] { return gate.started == 1; }));
    std::vector<std::unique_ptr<Caller>> followers;
    followers.reserve(3);
    for (int i = 0; i < 3; ++i) {
        followers.push_back(std::make_unique<Caller>(flights, "k", counting));
    }
    REQUIRE(eventually([&] { return flights.waiting("k") == 3; }));
    gate.open = true;
    CHECK(leader.outcome().value.error().code == Code::upstream);
    int shared = 0;
    for (const auto& follower : followers) {
        const SingleFlight::Outcome outcome = follower->outcome();
        REQUIRE(outcome.value);
        CHECK(*outcome.value == "second");
        shared += outcome.shared ? 1 : 0;
    }
    CHECK(computed == 1);
    CHECK(shared == 2);
}

TEST_CASE("a waiting caller that leaves returns at once and disturbs nobody") {
    SingleFlight flights(k_clock);
    Gate gate;
    Caller leader(flights, "k", gate.compute("value"));
    REQUIRE(eventually([&] { return gate.started == 1; }));
    Caller leaver(flights, "k", never());
    Caller stayer(flights, "k", never());
    REQUIRE(eventually([&] { return flights.waiting("k") == 2; }));
    leaver.leave();
    const SingleFlight::Outcome gone = leaver.outcome();
    REQUIRE_FALSE(gone.value);
    CHECK(gone.value.error().code == Code::client_gone);
    CHECK(flights.waiting("k") == 1);
    CHECK_FALSE(stayer.returned());
    gate.open = true;
    CHECK(stayer.outcome().value);
    CHECK(leader.outcome().value);
    CHECK_FALSE(gate.stopped);
}

TEST_CASE("the computation goes on for the others when the computing caller's client leaves") {
    SingleFlight flights(k_clock);
    Gate gate;
    Caller leader(flights, "k", gate.compute("value"));
    REQUIRE(eventually([&] { return gate.started == 1; }));
    Caller follower(flights, "k", never());
    REQUIRE(eventually([&] { return flights.waiting("k") == 1; }));
    leader.leave();
    Caller late(flights, "k", never());
    REQUIRE(eventually([&] { return flights.waiting("k") == 2; }));
    CHECK(gate.ended == 0);
    gate.open = true;
    CHECK(*follower.outcome().value == "value");
    CHECK(late.outcome().shared);
    CHECK(leader.outcome().value);
    CHECK_FALSE(gate.stopped);
}

TEST_CASE("the computation is stopped when the last caller has left, in whichever order") {
    for (const bool leader_first : {true, false}) {
        CAPTURE(leader_first);
        SingleFlight flights(k_clock);
        Gate gate;
        Caller leader(flights, "k", gate.compute("value"));
        REQUIRE(eventually([&] { return gate.started == 1; }));
        Caller follower(flights, "k", never());
        REQUIRE(eventually([&] { return flights.waiting("k") == 1; }));
        (leader_first ? leader : follower).leave();
        if (!leader_first) {
            CHECK(follower.outcome().value.error().code == Code::client_gone);
        }
        CHECK(gate.ended == 0);
        (leader_first ? follower : leader).leave();
        CHECK(leader.outcome().value.error().code == Code::client_gone);
        CHECK(gate.stopped);
    }
}

TEST_CASE("who comes after the last caller left does not wait for the stopped computation") {
    SingleFlight flights(k_clock);
    Gate unstoppable;
    const auto stubborn = [&](const std::stop_token&) { return unstoppable.compute("old")(std::stop_token{}); };
    Caller leader(flights, "k", stubborn);
    REQUIRE(eventually([&] { return unstoppable.started == 1; }));
    leader.leave();
    CHECK(*flights.run("k", Context{}, give("new")).value == "new");
    CHECK_FALSE(leader.returned());

    Gate next;
    Caller second(flights, "k", next.compute("newer"));
    REQUIRE(eventually([&] { return next.started == 1; }));
    unstoppable.open = true;
    CHECK(*leader.outcome().value == "old");
    Caller follower(flights, "k", never());
    REQUIRE(eventually([&] { return flights.waiting("k") == 1; }));
    next.open = true;
    CHECK(*follower.outcome().value == "newer");
}

TEST_CASE(
    "regression: after busy the waiting callers do not wait for each other's turn at a gate, one after the other") {
    SingleFlight flights(k_clock);
    Gate gate;
    const auto refused = [&](const std::stop_token& stop) -> Result<std::string> {
        static_cast<void>(gate.compute("")(stop));
        return Error{Code::busy, "no slot"};
    };
    Caller leader(flights, "k", refused);
    REQUIRE(eventually([&] { return gate.started == 1; }));
    Gate second;
    std::vector<std::unique_ptr<Caller>> followers;
    for (int i = 0; i < 5; ++i) {
        followers.push_back(std::make_unique<Caller>(flights, "k", second.compute("value")));
    }
    REQUIRE(eventually([&] { return flights.waiting("k") == 5; }));
    gate.open = true;
    CHECK(eventually([&] { return second.started == 5; }));
    second.open = true;
    for (const auto& follower : followers) {
        CHECK(*follower->outcome().value == "value");
    }
}

TEST_CASE("regression: more callers than may wait compute for themselves, whatever their keys are") {
    SingleFlight flights(k_clock, 2);
    Gate gate;
    const Caller first(flights, "a", gate.compute("a"));
    const Caller second(flights, "b", gate.compute("b"));
    REQUIRE(eventually([&] { return gate.started == 2; }));
    Caller of_first(flights, "a", never());
    Caller of_second(flights, "b", never());
    REQUIRE(eventually([&] { return flights.waiting("a") + flights.waiting("b") == 2; }));
    CHECK(*flights.run("a", Context{}, give("own")).value == "own");
    gate.open = true;
    CHECK(*of_first.outcome().value == "a");
    CHECK(*of_second.outcome().value == "b");
    Gate next;
    const Caller third(flights, "a", next.compute("c"));
    REQUIRE(eventually([&] { return next.started == 1; }));
    Caller waits_again(flights, "a", never());
    CHECK(eventually([&] { return flights.waiting("a") == 1; }));
    next.open = true;
    CHECK(*waits_again.outcome().value == "c");
}

TEST_CASE("a caller whose client has left before computes nothing") {
    SingleFlight flights(k_clock);
    std::stop_source client;
    client.request_stop();
    CHECK(flights.run("k", context_of(client.get_token()), never()).value.error().code == Code::client_gone);
}

TEST_CASE("different keys do not wait for each other") {
    SingleFlight flights(k_clock);
    Gate gate;
    Caller slow(flights, "slow", gate.compute("slow"));
    REQUIRE(eventually([&] { return gate.started == 1; }));
    CHECK(*flights.run("fast", Context{}, give("fast")).value == "fast");
    CHECK_FALSE(slow.returned());
    gate.open = true;
    CHECK(*slow.outcome().value == "slow");
}

TEST_CASE("a throwing computation ends its flight with an error of its own") {
    SingleFlight flights(k_clock);
    const auto throwing = [](const std::stop_token&) -> Result<std::string> { throw std::runtime_error("boom"); };
    const auto odd = [](const std::stop_token&) -> Result<std::string> { throw 1; };  // NOLINT(misc-throw-by-value*)
    const SingleFlight::Outcome thrown = flights.run("k", Context{}, throwing);
    REQUIRE_FALSE(thrown.value);
    CHECK(thrown.value.error().code == Code::internal);
    CHECK(thrown.value.error().message == "the computation of an answer threw: boom");
    CHECK(flights.run("k", Context{}, odd).value.error().code == Code::internal);
    CHECK(*flights.run("k", Context{}, give("fine")).value == "fine");
}

TEST_CASE("a computation may be cancelled by callbacks that call back") {
    SingleFlight flights(k_clock);
    Gate gate;
    std::atomic<int> seen{-1};
    const auto calling_back = [&](const std::stop_token& stop) {
        const std::stop_callback on_stop(stop, [&] { seen = flights.waiting("k"); });
        return gate.compute("")(stop);
    };
    Caller leader(flights, "k", calling_back);
    REQUIRE(eventually([&] { return gate.started == 1; }));
    leader.leave();
    CHECK_FALSE(leader.outcome().value);
    CHECK(seen == 0);
}

TEST_CASE("property: with clients leaving at random every caller gets its value, an own error or is gone") {
    SingleFlight flights(k_clock);
    std::atomic<int> wrong{0};
    std::atomic<int> values{0};
    const auto call_at_random = [&](unsigned seed) {
        std::mt19937 random(seed);
        for (int i = 0; i < 1500; ++i) {
            const End end = one_call(flights, std::to_string(random() % 3), random() % 4 == 0, random() % 4 == 0);
            wrong += end == End::wrong ? 1 : 0;
            values += end == End::value ? 1 : 0;
        }
    };
    {
        std::vector<std::jthread> threads;
        threads.reserve(8);
        for (unsigned t = 0; t < 8; ++t) {
            threads.emplace_back(call_at_random, t);
        }
    }
    CHECK(wrong == 0);
    CHECK(values > 1000);
    for (const char* key : {"0", "1", "2"}) {
        CHECK(*flights.run(key, Context{}, give("end")).value == "end");
    }
}

TEST_CASE("after a value that is none to share all who waited compute at once") {
    SingleFlight flights(k_clock);
    std::atomic<int> computing{0};
    const auto alone = [&](const std::stop_token&) -> Result<std::string> {
        if (computing.fetch_add(1) == 0) {
            eventually([&] { return flights.waiting("k") == 3; });
            return Error{Code::conflict, "mine alone"};
        }
        return eventually([&] { return computing == 4; }) ? Result<std::string>("together")
                                                          : Error{Code::internal, "one by one"};
    };
    std::vector<std::future<SingleFlight::Outcome>> callers;
    for (int i = 0; i < 4; ++i) {
        callers.push_back(std::async(std::launch::async, [&] { return flights.run("k", Context{}, alone); }));
    }
    int together = 0;
    for (auto& caller : callers) {
        const SingleFlight::Outcome outcome = caller.get();
        together += outcome.value && *outcome.value == "together" ? 1 : 0;
    }
    CHECK(together == 3);
}
