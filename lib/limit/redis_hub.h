#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "limit/redis_limits.h"
#include "redis/link.h"

namespace mt {

/// The wall clock of Redis, as far as its answers tell; before the first one the machine's own. Thread-safe.
class RedisClock final : public Clock {
  public:
    explicit RedisClock(const Clock& clock) : m_clock(clock) {}

    [[nodiscard]] std::int64_t boot_ns() const override { return m_clock.boot_ns(); }
    [[nodiscard]] WallTime wall() const override;
    /// Redis has just said that it is this late: microseconds since 2025-01-01.
    void learn(std::int64_t redis_us);

  private:
    const Clock& m_clock;
    std::atomic<std::int64_t> m_ahead_ms{0};
};

/// Somebody who has something to tell Redis again and again.
class Attended {
  public:
    Attended() = default;
    Attended(const Attended&) = delete;
    Attended& operator=(const Attended&) = delete;
    virtual ~Attended() = default;

    /// Redis is there. `lost`: it may have forgotten everything, or the replica was taken for dead.
    virtual void attend(bool lost) = 0;
};

/// What the limits of all tenants share: the way to Redis, its clock, what happened, and who is to be attended by the
/// heart's thread. Thread-safe. References must outlive it.
class RedisHub {
  public:
    RedisHub(redis::Link& link, const SharedLimiterOptions& options, const Clock& clock)
        : m_link(link), m_options(options), m_clock(clock) {}

    [[nodiscard]] const SharedLimiterOptions& options() const { return m_options; }
    [[nodiscard]] RedisClock& clock() { return m_clock; }

    /// Errors: busy (nobody may wait here), anything else: Redis is away or late.
    Result<redis::Reply> run(const redis::Call& call);
    /// Begins what run() does; `done` gets the result on another thread, and whoever takes it from there passes it
    /// through hear(). False: nothing was begun, see redis::Link::begin.
    bool begin(redis::Call call, redis::Link::Done done) {
        return m_link.begin(std::move(call), m_options.budget, std::move(done));
    }
    /// Notes whether Redis is there.
    Result<redis::Reply> hear(Result<redis::Reply> reply);
    void post(redis::Call call) { m_link.post(std::move(call)); }
    /// Never the same twice in this process.
    std::uint64_t next_ticket() { return m_ticket.fetch_add(1, std::memory_order_relaxed) + 1; }

    void decided_by_redis() { m_by_redis.fetch_add(1, std::memory_order_relaxed); }
    /// By the mode of outages.
    void decided_without();
    void set_replicas(std::int64_t replicas) { m_replicas.store(replicas, std::memory_order_relaxed); }
    [[nodiscard]] SharedLimiterCounts counts() const;

    /// Keeps calling `who` from the heart's thread until it is forgotten.
    void remember(Attended& who);
    /// From within its attend(), or holding what keeps attend() away.
    void forget(Attended& who);
    /// Waits until nobody calls `who` any more.
    void part(Attended& who);
    /// For the heart's thread: those to be attended now.
    [[nodiscard]] std::vector<Attended*> attended() const;
    /// Calls it, unless it was forgotten meanwhile.
    void attend(Attended* who, bool lost);

  private:
    redis::Link& m_link;
    const SharedLimiterOptions& m_options;
    RedisClock m_clock;
    std::atomic<std::uint64_t> m_ticket{0};
    std::atomic<std::int64_t> m_by_redis{0};
    std::atomic<std::int64_t> m_without{0};
    std::atomic<bool> m_outage{false};
    std::atomic<std::int64_t> m_replicas{1};
    std::mutex m_turn;           // held while somebody is attended; before the locks of limits
    mutable std::mutex m_mutex;  // guards the set; after the locks of limits
    std::set<Attended*> m_attended;
};

}  // namespace mt
