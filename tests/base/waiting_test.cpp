#include "base/waiting.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/blocking.h"
#include "support/fake_clock.h"

namespace {

using mt::Code;
using mt::Context;
using mt::Result;
using mt::SystemClock;
using std::chrono::milliseconds;

constexpr std::int64_t k_ms = 1'000'000;

// Counts those who wait, and may refuse them.
class Regions final : public mt::Blocker {
  public:
    Result<void> enter() override {
        if (full) {
            return mt::Error{Code::busy, "too many threads wait already"};
        }
        ++inside;
        ++entered;
        return {};
    }
    void leave() override { --inside; }

    bool full = false;
    std::atomic<int> inside{0};
    std::atomic<int> entered{0};
};

class Hook final : public mt::IdleHook {
  public:
    void on_idle() override {
        ++calls;
        if (then != nullptr) {
            then->request_stop();
        }
    }

    std::atomic<int> calls{0};
    std::stop_source* then = nullptr;
};

}  // namespace

TEST_CASE("a wait lasts until its time, in a blocking region") {
    const SystemClock clock;
    Regions regions;
    const mt::BlockerScope scope(regions);
    Hook hook;
    Context context;
    context.idle = &hook;
    const std::int64_t until_ns = clock.boot_ns() + 30 * k_ms;
    CHECK(mt::wait_until(until_ns, clock, context));
    CHECK(clock.boot_ns() >= until_ns);
    CHECK(regions.entered == 1);
    CHECK(regions.inside == 0);
    CHECK(hook.calls == 0);  // nobody needs a sign of life after so short a time
}

TEST_CASE("a time that is over is not waited for") {
    const mt::test::FakeClock clock;  // it stands still: waiting for it would never end
    CHECK(mt::wait_until(clock.boot_ns(), clock, {}));
    CHECK(mt::wait_until(0, clock, {}));
}

TEST_CASE("the request's own time ends a wait") {
    const SystemClock clock;
    Context context;
    context.deadline_ns = clock.boot_ns() + 20 * k_ms;
    const Result<void> waited = mt::wait_until(context.deadline_ns + 1'000'000 * k_ms, clock, context);
    REQUIRE_FALSE(waited);
    CHECK(waited.error().code == Code::timeout);
    CHECK(clock.boot_ns() >= context.deadline_ns);
    CHECK(mt::wait_until(clock.boot_ns() + 1'000'000 * k_ms, clock, context).error().code == Code::timeout);
}

TEST_CASE("a client that leaves ends a wait at once, by the time of whatever clock") {
    const mt::test::FakeClock clock;
    std::vector<milliseconds> times;
    for (int round = 0; round < 5; ++round) {
        std::stop_source stop;
        Hook hook;
        Context context;
        context.stop = stop.get_token();
        context.idle = &hook;
        std::chrono::steady_clock::time_point back;
        Result<void> waited;
        Regions regions;
        std::thread waiter([&] {
            const mt::BlockerScope scope(regions);
            waited = mt::wait_until(clock.boot_ns() + 1'000'000 * k_ms, clock, context);
            back = std::chrono::steady_clock::now();
        });
        while (regions.inside == 0) {
            std::this_thread::yield();
        }
        const auto stopped = std::chrono::steady_clock::now();
        stop.request_stop();
        waiter.join();
        REQUIRE_FALSE(waited);
        CHECK(waited.error().code == Code::client_gone);
        CHECK(hook.calls == 0);  // nobody is there to see one
        times.push_back(std::chrono::duration_cast<milliseconds>(back - stopped));
    }
    std::sort(times.begin(), times.end());
    CHECK(times[2] <= milliseconds{50});
}

TEST_CASE("a client that left before is not waited for") {
    const mt::test::FakeClock clock;
    std::stop_source stop;
    stop.request_stop();
    Context context;
    context.stop = stop.get_token();
    CHECK(mt::wait_until(0, clock, context).error().code == Code::client_gone);
}

TEST_CASE("who waits long gives signs of life, and none once the client has left") {
    const mt::test::FakeClock clock;
    std::stop_source stop;
    Hook hook;
    hook.then = &stop;
    Context context;
    context.stop = stop.get_token();
    context.idle = &hook;
    const auto start = std::chrono::steady_clock::now();
    CHECK(mt::wait_until(clock.boot_ns() + 10'000'000 * k_ms, clock, context).error().code == Code::client_gone);
    CHECK(hook.calls == 1);
    CHECK(std::chrono::steady_clock::now() - start >= milliseconds{900});
}

TEST_CASE("nobody waits where too many do already") {
    const mt::test::FakeClock clock;
    Regions regions;
    regions.full = true;
    const mt::BlockerScope scope(regions);
    CHECK(mt::wait_until(clock.boot_ns() + 1'000'000 * k_ms, clock, {}).error().code == Code::busy);
    CHECK(regions.inside == 0);
}
