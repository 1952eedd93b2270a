// The request limit over a real minute, on the system's clock.

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "limit/limits.h"

namespace mt::test {
namespace {

constexpr std::int64_t k_minute_ns = 60'000'000'000;

// A decision fell between these two moments.
struct Moment {
    std::int64_t before = 0;
    std::int64_t after = 0;
};

// What the threads of one limit saw.
struct Minute {
    std::vector<Moment> admitted;
    Moment last;  // the last decision, whatever it was
};

std::int64_t most_in(std::int64_t span_ns, std::int64_t per_minute) {
    return per_minute + span_ns / (k_minute_ns / per_minute);
}

// One limit, and threads that ask it as fast as they can for a minute.
class Flood {
  public:
    Flood(std::int64_t per_minute, int threads, const Clock& clock) : m_clock(clock) {
        LimitSettings settings;
        settings.rate_limit = per_minute;
        settings.burst = per_minute;
        m_limits = make_local_limits(settings, {m_requests, m_tokens, m_used, m_start}, clock);
        const std::int64_t end_ns = clock.boot_ns() + k_minute_ns;
        for (int i = 0; i < threads; ++i) {
            m_threads.emplace_back([this, end_ns] { ask_until(end_ns); });
        }
    }

    Minute join() {
        m_threads.clear();
        return m_minute;
    }

  private:
    void ask_until(std::int64_t end_ns) {
        Minute mine;
        while (mine.last.after < end_ns) {
            mine.last.before = m_clock.boot_ns();
            const bool admitted = m_limits->admit({1, 0}, Context{}).has_value();
            mine.last.after = m_clock.boot_ns();
            if (admitted) {
                mine.admitted.push_back(mine.last);
            } else {
                std::this_thread::yield();
            }
        }
        const std::lock_guard lock(m_mutex);
        m_minute.admitted.insert(m_minute.admitted.end(), mine.admitted.begin(), mine.admitted.end());
        m_minute.last = mine.last.before > m_minute.last.before ? mine.last : m_minute.last;
    }

    const Clock& m_clock;
    std::atomic<std::int64_t> m_requests{0};
    std::atomic<std::int64_t> m_tokens{0};
    std::atomic<std::int64_t> m_used{0};
    std::atomic<std::int64_t> m_start{0};
    std::unique_ptr<Limits> m_limits;
    std::mutex m_mutex;
    Minute m_minute;  // guarded by m_mutex until the threads have ended
    std::vector<std::jthread> m_threads;
};

// Admissions that lie in a window as a whole were decided in it. So each window that begins before one admission and
// ends after another has to hold.
bool every_window_holds(std::vector<Moment> admitted, std::int64_t per_minute) {
    std::sort(admitted.begin(), admitted.end(), [](const Moment& a, const Moment& b) { return a.after < b.after; });
    return std::all_of(admitted.begin(), admitted.end(), [&](const Moment& first) {
        std::int64_t count = 0;
        return std::all_of(admitted.begin(), admitted.end(), [&](const Moment& last) {
            count += last.before >= first.before ? 1 : 0;
            return last.after < first.after || count <= most_in(last.after - first.before, per_minute);
        });
    });
}

void judge(const Minute& minute, std::int64_t per_minute) {
    CAPTURE(per_minute);
    REQUIRE(!minute.admitted.empty());
    CHECK(every_window_holds(minute.admitted, per_minute));
    std::int64_t begin = minute.admitted.front().before;
    std::int64_t begun = minute.admitted.front().after;
    for (const Moment& moment : minute.admitted) {
        begin = std::min(begin, moment.before);
        begun = std::min(begun, moment.after);
    }
    const auto total = static_cast<std::int64_t>(minute.admitted.size());
    const std::int64_t bound = most_in(minute.last.after - begin, per_minute);
    std::printf("%lld/min over %.3f s: %lld admitted, the bound is %lld\n", static_cast<long long>(per_minute),
                static_cast<double>(minute.last.after - begin) / 1e9, static_cast<long long>(total),
                static_cast<long long>(bound));
    CHECK(total <= bound);
    CHECK(total >= most_in(minute.last.before - begun, per_minute) - 1);
}

TEST_CASE(
    "a real minute, 64 threads: every window of every limit stays in its bound, and the whole is within 1 of it") {
    const SystemClock clock;
    Flood ten(10, 21, clock);
    Flood hundred(100, 21, clock);
    Flood thousand(1000, 22, clock);
    judge(ten.join(), 10);
    judge(hundred.join(), 100);
    judge(thousand.join(), 1000);
}

}  // namespace
}  // namespace mt::test
