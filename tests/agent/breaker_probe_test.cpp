#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "agent/model_fixture.h"

using namespace mt;
using namespace mt::test;

TEST_CASE("a probe is judged when its answer begins: nobody waits for its end") {
    ModelFixture f(chat_error(500));
    f.options.config.retries = 0;
    f.options.breaker = {1, std::chrono::milliseconds{0}, std::chrono::milliseconds{0}};
    f.build();
    CHECK(f.stream()->error);
    REQUIRE(f.model->breaker_state() == CircuitBreaker::State::open);
    Latch latch;
    f.server.set_script(stalled_stream({"a"}, latch, {"b"}));
    bool served = false;
    std::jthread probe([&] { served = !f.stream()->error; });
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds{5};
    while (f.model->breaker_state() != CircuitBreaker::State::closed && std::chrono::steady_clock::now() < give_up) {
        std::this_thread::yield();
    }
    CHECK(f.model->breaker_state() == CircuitBreaker::State::closed);
    latch.open();
    probe.join();
    CHECK(served);
}
