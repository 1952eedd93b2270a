#include <doctest/doctest.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <vector>

#include "limit/limit_fixture.h"
#include "limit/limits.h"

using namespace mt;

namespace {

constexpr int k_threads = 64;
using test::k_minute_ns;

// Goes on by a tenth of a millisecond each time it is asked, and tells a thread what it told it last. The limits ask it
// once per decision, under their lock: so this is the moment of the decision.
class TickClock final : public Clock {
  public:
    [[nodiscard]] std::int64_t boot_ns() const override { return told = m_now += 100'000; }
    [[nodiscard]] WallTime wall() const override {
        return WallTime{std::chrono::milliseconds{1'795'392'000'000 + m_now / 1'000'000 + m_step_ms}};
    }
    [[nodiscard]] std::int64_t now() const { return m_now; }
    void step_wall(std::chrono::milliseconds by) { m_step_ms += by.count(); }

    static thread_local std::int64_t told;

  private:
    mutable std::atomic<std::int64_t> m_now{3'600'000'000'000};
    std::atomic<std::int64_t> m_step_ms{0};
};
thread_local std::int64_t TickClock::told = 0;

// Where the limits keep what they know.
struct Memory {
    [[nodiscard]] LimiterState state() { return {requests, tokens, used, start}; }

    std::atomic<std::int64_t> requests{0};
    std::atomic<std::int64_t> tokens{0};
    std::atomic<std::int64_t> used{0};
    std::atomic<std::int64_t> start{0};
};

LimitSettings rate(std::int64_t per_minute) {
    LimitSettings settings;
    settings.rate_limit = per_minute;
    settings.burst = per_minute;
    return settings;
}

// All threads ask as fast as they can until `end_ns`. The moments of the admissions, in order.
std::vector<std::int64_t> flood(Limits& limits, const TickClock& clock, std::int64_t end_ns) {
    std::mutex mutex;
    std::vector<std::int64_t> all;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < k_threads; ++i) {
            threads.emplace_back([&] {
                std::vector<std::int64_t> mine;
                while (clock.now() < end_ns) {
                    if (const Result<Permit> permit = limits.admit({1, 0}, Context{})) {
                        mine.push_back(TickClock::told);
                    }
                }
                const std::lock_guard lock(mutex);
                all.insert(all.end(), mine.begin(), mine.end());
            });
        }
    }
    std::sort(all.begin(), all.end());
    return all;
}

bool every_window_holds(const std::vector<std::int64_t>& times, std::int64_t per_minute) {
    test::WindowBound bound(per_minute, per_minute);
    return std::all_of(times.begin(), times.end(), [&](std::int64_t time) { return bound.add(time, 1); });
}

}  // namespace

TEST_CASE("property: every window of a minute from 64 threads stays in the bound, and the whole is within 1 of it") {
    for (const std::int64_t per_minute : {10, 100, 1000}) {
        CAPTURE(per_minute);
        Memory memory;
        TickClock clock;
        const auto limits = make_local_limits(rate(per_minute), memory.state(), clock);
        const std::int64_t start = clock.now();
        // An operator sets the wall clock an hour ahead and back again.
        std::jthread operator_at_clock([&](const std::stop_token& stop) {
            for (int hour = 1; !stop.stop_requested(); hour = -hour) {
                clock.step_wall(std::chrono::hours{hour});
                std::this_thread::yield();
            }
        });
        const std::vector<std::int64_t> times = flood(*limits, clock, start + k_minute_ns);
        operator_at_clock.request_stop();
        CHECK(every_window_holds(times, per_minute));
        const auto total = static_cast<std::int64_t>(times.size());
        const std::int64_t bound = 2 * per_minute;  // the burst, and a minute's rate
        CHECK(total <= bound);
        CHECK(total >= bound - 1);
    }
}

TEST_CASE("property: the limit 1000, then 10, then 1000 in the flood: each holds from its moment on") {
    Memory memory;
    TickClock clock;
    const auto limits = make_local_limits(rate(1000), memory.state(), clock);
    std::int64_t end = clock.now();
    for (const std::int64_t per_minute : {1000, 10, 1000}) {
        CAPTURE(per_minute);
        limits->reconfigure(rate(per_minute));
        end += k_minute_ns / 3;
        const std::vector<std::int64_t> times = flood(*limits, clock, end);
        CHECK(every_window_holds(times, per_minute));
        if (per_minute == 10) {  // what was used stays used: no new burst
            CHECK(times.size() <= 10 / 3 + 1);
        }
    }
}
