#pragma once

#include <mutex>
#include <utility>

#include "base/result.h"

namespace mt {

/// Whoever runs requests on threads of its own and wants to know when one of them is about to wait, so that another
/// takes its place. Both calls come from the thread that waits.
class Blocker {
  public:
    Blocker() = default;
    Blocker(const Blocker&) = delete;
    Blocker& operator=(const Blocker&) = delete;
    virtual ~Blocker() = default;

    /// Errors: busy (with retry_after) when too many threads wait already: give up instead of waiting.
    virtual Result<void> enter() = 0;
    virtual void leave() = 0;
};

/// Names the Blocker of the calling thread for as long as it lives. A lock, a busy database or a socket has no Context
/// to ask, so this is kept per thread.
class BlockerScope {
  public:
    explicit BlockerScope(Blocker& blocker);
    BlockerScope(const BlockerScope&) = delete;
    BlockerScope& operator=(const BlockerScope&) = delete;
    ~BlockerScope();

  private:
    Blocker* m_outer;
};

/// Held while a thread may wait for something slow: an upstream, a database, a lock, a client. Costs a thread's change
/// when it belongs to a server, nothing elsewhere. Not for waits known to last microseconds.
class BlockingRegion {
  public:
    /// Errors: busy, see Blocker::enter. Inside another region, and on threads without a Blocker, it always succeeds.
    static Result<BlockingRegion> enter();

    BlockingRegion(BlockingRegion&& other) noexcept : m_blocker(std::exchange(other.m_blocker, nullptr)) {}
    BlockingRegion& operator=(BlockingRegion&&) = delete;
    BlockingRegion(const BlockingRegion&) = delete;
    BlockingRegion& operator=(const BlockingRegion&) = delete;
    ~BlockingRegion();

  private:
    explicit BlockingRegion(Blocker* blocker) : m_blocker(blocker) {}

    Blocker* m_blocker;  ///< null: nobody needs to know
};

/// Locks `mutex`, waiting in a blocking region when another thread holds it: for locks under which somebody may wait
/// for a disk or a server. Errors: busy, see BlockingRegion::enter.
template <class Mutex>
Result<std::unique_lock<Mutex>> lock_patiently(Mutex& mutex) {
    std::unique_lock<Mutex> lock(mutex, std::try_to_lock);
    if (!lock.owns_lock()) {
        const Result<BlockingRegion> region = BlockingRegion::enter();
        if (!region) {
            return region.error();
        }
        lock.lock();
    }
    return lock;
}

}  // namespace mt
