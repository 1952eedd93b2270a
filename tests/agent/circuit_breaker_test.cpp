#include "base/circuit_breaker.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "agent/model_fixture.h"

namespace {

using mt::CircuitBreaker;
using mt::Code;
using mt::test::chat_error;
using mt::test::chat_reply;
using mt::test::milliseconds;
using mt::test::ModelFixture;
using Outcome = CircuitBreaker::Outcome;
using State = CircuitBreaker::State;

constexpr std::int64_t k_second = 1'000'000'000;

// One whole call; false when it was not let through.
bool run(CircuitBreaker& breaker, Outcome outcome, std::int64_t now_ns) {
    const CircuitBreaker::Pass pass = breaker.admit(now_ns);
    if (pass.wait_ns > 0) {
        return false;
    }
    breaker.record(pass, outcome, now_ns);
    return true;
}

void fail(CircuitBreaker& breaker, int times, std::int64_t now_ns) {
    for (int i = 0; i < times; ++i) {
        CHECK(run(breaker, Outcome::failure, now_ns));
    }
}

// Opens after two failures; what it does later depends on no clock.
struct Broken : ModelFixture {
    Broken() : ModelFixture(chat_error(500)) {
        options.config.retries = 0;
        options.breaker.failures = 2;
        options.breaker.pause = options.breaker.longest = milliseconds{600'000};
        build();
    }
};

}  // namespace

TEST_CASE("five failures in a row open a breaker, and it says how long it stays so") {
    CircuitBreaker breaker;
    fail(breaker, 4, 0);
    CHECK(breaker.state() == State::closed);
    fail(breaker, 1, 7);
    CHECK(breaker.state() == State::open);
    CHECK(breaker.admit(7).wait_ns == 10 * k_second);
    CHECK(breaker.admit(7 + 10 * k_second - 1).wait_ns == 1);
}

TEST_CASE("a success begins the count anew; what nobody could tell does not count") {
    CircuitBreaker breaker;
    for (int round = 0; round < 3; ++round) {
        fail(breaker, 4, 0);
        CHECK(run(breaker, Outcome::success, 0));
    }
    fail(breaker, 4, 0);
    CHECK(run(breaker, Outcome::unknown, 0));
    CHECK(breaker.state() == State::closed);
    fail(breaker, 1, 0);
    CHECK(breaker.state() == State::open);
}

TEST_CASE("one call probes, the others wait for what it finds") {
    CircuitBreaker breaker;
    fail(breaker, 5, 0);
    const CircuitBreaker::Pass probe = breaker.admit(10 * k_second);
    CHECK(probe.wait_ns == 0);
    CHECK(probe.probe);
    CHECK(breaker.state() == State::half_open);
    CHECK(breaker.admit(10 * k_second).wait_ns == k_second);
    breaker.record(probe, Outcome::success, 11 * k_second);
    CHECK(breaker.state() == State::closed);
    CHECK_FALSE(breaker.admit(11 * k_second).probe);
    fail(breaker, 4, 11 * k_second);
    CHECK(breaker.state() == State::closed);
}

TEST_CASE("a failed probe opens it for twice as long, up to a bound") {
    CircuitBreaker breaker;
    fail(breaker, 5, 0);
    std::int64_t now_ns = 0;
    for (const std::int64_t pause : {10, 20, 40, 60, 60}) {
        CHECK(breaker.admit(now_ns).wait_ns == pause * k_second);
        now_ns += pause * k_second;
        fail(breaker, 1, now_ns);
        CHECK(breaker.state() == State::open);
    }
    CHECK(run(breaker, Outcome::success, now_ns + 60 * k_second));
    fail(breaker, 5, now_ns);
    CHECK(breaker.admit(now_ns).wait_ns == 10 * k_second);
}

TEST_CASE("a probe that nobody could judge gives its place to the next call") {
    CircuitBreaker breaker;
    fail(breaker, 5, 0);
    CHECK(run(breaker, Outcome::unknown, 10 * k_second));
    CHECK(breaker.state() == State::half_open);
    const CircuitBreaker::Pass next = breaker.admit(10 * k_second);
    CHECK(next.probe);
    CHECK(next.wait_ns == 0);
}

TEST_CASE("calls from before it opened decide nothing") {
    CircuitBreaker breaker;
    const CircuitBreaker::Pass early = breaker.admit(0);
    const CircuitBreaker::Pass late = breaker.admit(0);
    fail(breaker, 5, 0);
    breaker.record(early, Outcome::success, 1);
    CHECK(breaker.state() == State::open);
    const CircuitBreaker::Pass probe = breaker.admit(10 * k_second);
    breaker.record(late, Outcome::failure, 10 * k_second);
    CHECK(breaker.state() == State::half_open);
    breaker.record(probe, Outcome::success, 10 * k_second);
    CHECK(breaker.state() == State::closed);
}

TEST_CASE("of many threads one probes") {
    CircuitBreaker breaker;
    fail(breaker, 5, 0);
    std::atomic<int> probes{0};
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 8; ++i) {
            threads.emplace_back([&] { probes += breaker.admit(10 * k_second).wait_ns == 0 ? 1 : 0; });
        }
    }
    CHECK(probes == 1);
}

TEST_CASE("a server that fails is left alone, and nobody waits for it") {
    Broken f;
    CHECK(f.complete()->code() == Code::upstream);
    CHECK(f.model->breaker_state() == State::closed);
    CHECK(f.complete()->code() == Code::upstream);
    CHECK(f.model->breaker_state() == State::open);
    const auto rejected = f.complete();
    CHECK(rejected->code() == Code::upstream);
    CHECK(rejected->error->reason == "breaker_open");
    REQUIRE(rejected->error->retry_after);
    CHECK(*rejected->error->retry_after > std::chrono::seconds{300});
    CHECK(rejected->usage.total() == 0);
    CHECK(f.server.request_count() == 2);
    CHECK(f.model->counters().rejected == 1);
    CHECK(f.model->counters().failed == 2);
}

TEST_CASE("retries stop where the breaker opens") {
    Broken f;
    f.options.config.retries = 10;
    f.build();
    CHECK(f.complete()->error->reason == "breaker_open");
    CHECK(f.server.request_count() == 2);
    CHECK(f.model->counters().retries == 2);
    CHECK(f.model->counters().rejected == 1);
}

TEST_CASE("a server that is well again is asked again") {
    Broken f;
    f.options.breaker.failures = 1;
    f.options.breaker.pause = f.options.breaker.longest = milliseconds{1};
    f.build();
    CHECK(f.complete()->error);
    f.server.set_script(chat_reply("ok"));
    std::unique_ptr<mt::test::Completed> completed = f.complete();
    for (int i = 0; i < 1'000'000 && completed->error; ++i) {
        REQUIRE(completed->error->reason == "breaker_open");
        completed = f.complete();
    }
    CHECK(completed->text() == "ok");
    CHECK(f.model->breaker_state() == State::closed);
    CHECK(f.server.request_count() == 2);
}

TEST_CASE("refusals of a request, and clients that leave, say nothing against the server") {
    Broken f;
    f.server.set_script(chat_error(400));
    for (int i = 0; i < 5; ++i) {
        CHECK(f.complete()->code() == Code::invalid);
    }
    f.server.set_script(chat_error(429));
    for (int i = 0; i < 5; ++i) {
        CHECK(f.complete()->code() == Code::upstream);
    }
    f.server.set_script([](const mt::test::Recorded&, mt::test::ScriptedReply& out) { out.keep_silent(); });
    for (std::size_t i = 1; i <= 5; ++i) {
        mt::test::stop_when([&] { return f.server.wait_for_requests(10 + i); },
                            [&](const mt::Context& context) { f.complete(false, context); });
    }
    CHECK(f.model->breaker_state() == State::closed);
    CHECK(f.model->counters().rejected == 0);
}

TEST_CASE("time-outs and broken streams do") {
    Broken f;
    f.options.config.first_token_timeout_ms = 30;
    f.build();
    f.server.set_script([](const mt::test::Recorded&, mt::test::ScriptedReply& out) { out.keep_silent(); });
    CHECK(f.complete()->code() == Code::timeout);
    f.server.set_script(mt::test::cut_stream({"x"}));
    CHECK(f.stream()->code() == Code::upstream);
    CHECK(f.model->breaker_state() == State::open);
}
