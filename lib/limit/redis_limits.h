#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "limit/limits.h"
#include "redis/link.h"

namespace mt {

/// What decides while Redis is away.
enum class LimiterOutage {
    local_share,  ///< this process, by its share of each limit
    open,         ///< nobody: every call is admitted
    closed,       ///< nobody: every call is refused as unavailable
};

struct SharedLimiterOptions {
    std::string replica;  ///< this process's own name among all replicas: new with each start, without ':'
    std::string writer;   ///< names what this process has used of budgets: stays with the file of the LimiterStates
    LimiterOutage outage = LimiterOutage::local_share;
    std::chrono::milliseconds budget{20};      ///< the longest wait for a decision
    std::chrono::milliseconds lease{30'000};   ///< how long a call of a replica that died counts; renewed at a third
    std::chrono::milliseconds beat{1'000};     ///< between two heartbeats
    std::chrono::milliseconds silence{5'000};  ///< without a heartbeat, after which a replica is gone
};

/// For metrics; the first four since the start.
struct SharedLimiterCounts {
    std::int64_t by_redis = 0;  ///< decisions, admissions and refusals alike, that Redis took
    std::int64_t by_share = 0;  ///< that this process took because Redis was away
    std::int64_t open = 0;      ///< that nobody took: admitted
    std::int64_t closed = 0;    ///< that nobody took: refused
    bool outage = false;        ///< the last decision or heartbeat did not reach Redis
    std::int64_t replicas = 1;  ///< living ones, this one included; while Redis is away the last known number
};

/// Limits of many replicas of this program over ONE Redis: requests, tokens, concurrency and budget of a call are one
/// script and one round trip, by the clock of Redis alone. With a limit of requests alone nothing else is sent, unless
/// a request is given back. One for each process; thread-safe. It must outlive the Limits it makes.
///
/// Concurrency and reservations of the budget are leases, so that a killed replica's calls end by themselves. Used
/// tokens of a budget are kept in the LimiterState of each replica and told to Redis as absolute numbers: nothing of
/// them is lost with Redis, or by a crash.
///
/// While Redis is away or late (`local_share`) each replica gives out 1/n of every limit, n being the number of
/// replicas, rounded down but at least 1, and begins with 1/n of what the last answer said is left. With Redis back its
/// state counts again: the last known level is restored where it was lost, and what was given out is charged once, up
/// to an empty bucket. So a window of W that holds one outage admits at most
///
///     3 * burst + floor((W + T) * rate / 60 s)
///
/// where burst and rate are at least n, and T is the time in which some replicas reach Redis while others do not: a
/// burst before the outage, one in it by replicas that had not asked Redis for long, and one after it. Of the budget
/// the shares are parts of what is left: it is exceeded by no more than replicas did not know of each other. A decision
/// that came too late may be charged twice, never not at all.
class SharedLimiter {
  public:
    /// All references must outlive it. Does not touch the network.
    SharedLimiter(redis::Link& link, SharedLimiterOptions options, const Clock& clock, Log& log);
    SharedLimiter(const SharedLimiter&) = delete;
    SharedLimiter& operator=(const SharedLimiter&) = delete;
    ~SharedLimiter();

    /// Begins heartbeats and the renewal of leases, on a thread of its own.
    void start();
    /// Ends them, and says so to the other replicas if Redis is there. The limits go on deciding.
    void stop();

    /// The limits of one life of a tenant. `uid` names the life: a new one begins with nothing used. `state` as for
    /// make_local_limits: its arrival times serve the outages, its budget is what this replica has used.
    std::unique_ptr<Limits> make(std::string_view tenant, std::string_view uid, const LimitSettings& settings,
                                 LimiterState state);

    [[nodiscard]] SharedLimiterCounts counts() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt
