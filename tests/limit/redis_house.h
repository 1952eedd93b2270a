#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "limit/limits.h"
#include "limit/redis_limits.h"
#include "redis/link.h"
#include "support/becomes.h"
#include "support/needs.h"

namespace mt::test {

/// The machine's clock, set wrong.
class SkewedClock final : public Clock {
  public:
    explicit SkewedClock(std::chrono::milliseconds ahead) : m_ahead(ahead) {}
    [[nodiscard]] std::int64_t boot_ns() const override {
        return m_clock.boot_ns() + std::chrono::nanoseconds{m_ahead}.count();
    }
    [[nodiscard]] WallTime wall() const override { return m_clock.wall() + m_ahead; }

  private:
    SystemClock m_clock;
    std::chrono::milliseconds m_ahead;
};

/// A slot's limiter state.
struct SlotMemory {
    [[nodiscard]] LimiterState state() { return {requests, tokens, used, start}; }

    std::atomic<std::int64_t> requests{0};
    std::atomic<std::int64_t> tokens{0};
    std::atomic<std::int64_t> used{0};
    std::atomic<std::int64_t> start{0};
};

/// A limit of requests alone.
inline LimitSettings per_minute(std::int64_t rate, std::int64_t burst) {
    LimitSettings settings;
    settings.rate_limit = rate;
    settings.burst = burst;
    return settings;
}

/// One replica: a process's way to Redis and its limiter, not started.
struct Replica {
    /// `change` may change the options.
    Replica(const PrivateRedis& redis, const std::string& name, std::chrono::milliseconds ahead = {},
            const std::function<void(SharedLimiterOptions&)>& change = {})
        : clock(ahead) {
        redis::LinkOptions link_options;
        link_options.address.port = redis.port();
        link = std::make_unique<redis::Link>(link_options, clock, log);
        SharedLimiterOptions options;
        options.replica = name;
        options.writer = "writer-" + name;
        options.budget = std::chrono::milliseconds{500};  // tests share their machine
        if (change) {
            change(options);
        }
        limiter = std::make_unique<SharedLimiter>(*link, options, clock, log);
    }
    Replica(const Replica&) = delete;
    Replica& operator=(const Replica&) = delete;

    std::unique_ptr<Limits> make(const LimitSettings& settings, const std::string& uid = "life1") {
        return limiter->make("acme", uid, settings, memory.state());
    }
    /// Waits until Redis has done whatever was posted.
    void finish_posts() const {
        static const redis::Script nothing("return 1");
        while (!link->run({&nothing, {}, {}}, std::chrono::seconds{2})) {
            std::this_thread::yield();
        }
    }

    SkewedClock clock;
    Log log{LogLevel::off};
    SlotMemory memory;
    std::unique_ptr<redis::Link> link;
    std::unique_ptr<SharedLimiter> limiter;
};

/// For cases with a Redis of their own, on which they make replicas.
struct RedisHouse {
    PrivateRedis redis;
};

/// With one on it.
struct OneReplica : RedisHouse {
    Replica replica{redis, "a"};
};

/// "" for an admitted call.
inline std::string reason_of(const Result<Permit>& permit) {
    return permit ? "" : permit.error().reason;
}

/// Admits and settles at once until refused; how many were admitted.
inline std::int64_t drain(Limits& limits, std::int64_t most = 1'000'000) {
    std::int64_t admitted = 0;
    while (admitted < most && limits.admit(Cost{}, Context{})) {
        ++admitted;
    }
    return admitted;
}

}  // namespace mt::test
