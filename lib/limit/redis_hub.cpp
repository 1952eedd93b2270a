#include "limit/redis_hub.h"

#include <utility>

#include "limit/redis_terms.h"

namespace mt {

WallTime RedisClock::wall() const {
    return m_clock.wall() + std::chrono::milliseconds{m_ahead_ms.load(std::memory_order_relaxed)};
}

void RedisClock::learn(std::int64_t redis_us) {
    constexpr std::int64_t k_jitter_ms = 2;
    const std::int64_t ahead = (redis_wall(redis_us) - m_clock.wall()).count();
    const std::int64_t known = m_ahead_ms.load(std::memory_order_relaxed);
    if (ahead > known + k_jitter_ms || ahead < known - k_jitter_ms) {
        m_ahead_ms.store(ahead, std::memory_order_relaxed);
    }
}

Result<redis::Reply> RedisHub::run(const redis::Call& call) {
    return hear(m_link.run(call, m_options.budget));
}

Result<redis::Reply> RedisHub::hear(Result<redis::Reply> reply) {
    const bool outage = !reply && reply.error().code != Code::busy;
    if (outage != m_outage.load(std::memory_order_relaxed) && (outage || reply)) {
        m_outage.store(outage, std::memory_order_relaxed);
    }
    return reply;
}

void RedisHub::decided_without() {
    m_without.fetch_add(1, std::memory_order_relaxed);
}

SharedLimiterCounts RedisHub::counts() const {
    SharedLimiterCounts counts;
    counts.by_redis = m_by_redis.load(std::memory_order_relaxed);
    const std::int64_t without = m_without.load(std::memory_order_relaxed);
    (m_options.outage == LimiterOutage::local_share ? counts.by_share
     : m_options.outage == LimiterOutage::open      ? counts.open
                                                    : counts.closed) = without;
    counts.outage = m_outage.load(std::memory_order_relaxed);
    counts.replicas = m_replicas.load(std::memory_order_relaxed);
    return counts;
}

void RedisHub::remember(Attended& who) {
    const std::lock_guard lock(m_mutex);
    m_attended.insert(&who);
}

void RedisHub::forget(Attended& who) {
    const std::lock_guard lock(m_mutex);
    m_attended.erase(&who);
}

void RedisHub::part(Attended& who) {
    const std::lock_guard turn(m_turn);
    forget(who);
}

std::vector<Attended*> RedisHub::attended() const {
    const std::lock_guard lock(m_mutex);
    return {m_attended.begin(), m_attended.end()};
}

void RedisHub::attend(Attended* who, bool lost) {
    const std::lock_guard turn(m_turn);
    {
        const std::lock_guard lock(m_mutex);
        if (!m_attended.contains(who)) {
            return;
        }
    }
    who->attend(lost);
}

}  // namespace mt
