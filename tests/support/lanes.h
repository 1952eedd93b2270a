#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "stats/totals.h"
#include "support/raw_lane.h"

namespace mt::test {

/// All that is counted of a tenant but the latency, in the order of mt::Counter.
using Counts = std::array<std::int64_t, k_counters - 1>;

constexpr std::size_t index_of(Counter counter) {
    return static_cast<std::size_t>(counter);
}

/// The outcomes of calls, of which each has exactly one, come first in mt::Counter.
inline constexpr std::size_t k_outcomes = index_of(Counter::unauthorized) + 1;

/// Of a tenant's object in GET /stats or `mtagent stats --json`. Throws nlohmann's exceptions where a number is
/// missing.
Counts counts_of(const nlohmann::json& numbers);

/// A tenant as lanes ask it.
struct Target {
    std::string id;
    std::string key{};          ///< empty: none is sent
    std::size_t questions = 0;  ///< how many different ones there are; 0: no question is asked twice
    bool cacheable = true;      ///< its answers go through its cache
};

/// What clients saw of one tenant.
struct Seen {
    Counts counts{};             ///< by the replies that came
    std::int64_t in_flight = 0;  ///< requests without a reply
    std::int64_t refused = 0;    ///< replies of the transport, which belong to nobody: the server drains
};

/// Whether what was stored of a tenant meanwhile is what clients saw: at least every call that got a reply, and no more
/// than those and `unknown` others, by outcome and together. Of calls without a reply the tokens are not known. Empty,
/// or what is wrong.
std::string disagreement(const Counts& before, const Counts& after, const Counts& seen, std::int64_t unknown);

/// What one lane does.
struct LanePlan {
    std::vector<std::size_t> targets;  ///< asked at random, each as often as it stands here
    std::size_t depth = 1;             ///< requests under way at the same time, at least 1
    std::int64_t calls = std::numeric_limits<std::int64_t>::max();
};

/// Clients of a server at work, each a thread with a pipelining connection of its own, which ends when its calls are
/// done or the server cuts it. Not thread-safe.
class Lanes {
  public:
    /// Asks `targets`, which must outlive this, at 127.0.0.1.
    Lanes(int port, const std::vector<Target>& targets);
    Lanes(const Lanes&) = delete;
    Lanes& operator=(const Lanes&) = delete;
    ~Lanes() = default;

    void start(LanePlan plan);

    /// Replies so far.
    [[nodiscard]] std::int64_t replies() const { return m_replies; }
    /// Waits until all lanes have ended; what they saw of each target.
    std::vector<Seen> join();
    /// Of lanes that have ended: whether a reply did not come within 30 s.
    [[nodiscard]] bool timed_out() const { return m_timed_out; }

  private:
    void run(const LanePlan& plan, std::uint64_t seed);

    const int m_port;
    const std::vector<Target>& m_targets;
    std::atomic<std::int64_t> m_replies{0};
    std::atomic<bool> m_timed_out{false};
    std::mutex m_mutex;
    std::vector<Seen> m_seen;  // guarded by m_mutex until the threads have ended
    std::vector<std::jthread> m_threads;
};

}  // namespace mt::test
