#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/clock.h"
#include "base/context.h"
#include "base/result.h"

namespace mt {

/// What a call costs: requests and language-model tokens.
struct Cost {
    std::int64_t requests = 1;
    std::int64_t tokens = 0;
};

/// The limits of one tenant; 0 means unlimited for tokens and concurrency.
struct LimitSettings {
    std::int64_t rate_limit = 10;        ///< requests per minute, at least 1
    std::int64_t burst = 10;             ///< requests that may come at once, at least 1
    std::int64_t tokens_per_minute = 0;  ///< 0: unlimited
    std::int64_t max_concurrency = 0;    ///< calls at the same time, 0: unlimited
};

/// The limiter's memory, which lives in the tenant's statistics slot so that it survives a crash: the theoretical
/// arrival times (GCRA) in Clock::boot_ns. Owned by the caller and valid while the Limits live.
struct LimiterState {
    std::atomic<std::int64_t>& request_tat_ns;
    std::atomic<std::int64_t>& token_tat_ns;
};

/// What the RateLimit fields of a reply say about the request limit.
struct LimitStatus {
    std::int64_t burst = 0;      ///< quota: requests that may come at once
    std::int64_t window_s = 0;   ///< seconds in which `burst` is restored, rounded up
    std::int64_t remaining = 0;  ///< requests that would be admitted right now
    std::int64_t reset_ns = 0;   ///< until the whole burst is available again
};

class Limits;

/// An admitted call. Movable, not copyable. The destructor gives back the concurrency slot; settle() says what was
/// really used. Must not outlive the Limits that issued it. Used by one thread at a time.
class Permit {
  public:
    Permit() = default;
    Permit(Limits& limits, Cost reserved, LimitStatus status);
    Permit(Permit&& other) noexcept;
    Permit& operator=(Permit&& other) noexcept;
    ~Permit();

    /// Replaces the reserved cost by the used one, once: less is refunded as far as it has not flowed back already,
    /// more tokens become debt (at most one capacity). Later calls do nothing.
    void settle(Cost used);

    /// State of the request limit right after this admission.
    [[nodiscard]] const LimitStatus& status() const { return m_status; }

  private:
    void release();

    Limits* m_limits = nullptr;
    Cost m_reserved;
    LimitStatus m_status;
    bool m_settled = false;
};

/// All limits of ONE tenant under one admission: all or nothing, a denied call costs nothing. Thread-safe.
class Limits {
  public:
    Limits() = default;
    Limits(const Limits&) = delete;
    Limits& operator=(const Limits&) = delete;
    virtual ~Limits() = default;

    /// Admits or refuses. Errors: rate_limited with `reason` requests, tokens or concurrency; retry_after is exact for
    /// the request limit and one client, and absent where waiting cannot help. unavailable when the state is away.
    virtual Result<Permit> admit(Cost cost, const Context& context) = 0;

    /// Changes the limits of calls from now on; what was used stays used. Never fails.
    virtual void reconfigure(const LimitSettings& settings) = 0;

    /// State of the request limit now.
    [[nodiscard]] virtual LimitStatus status() const = 0;

    /// Calls admitted and not yet released.
    [[nodiscard]] virtual std::int64_t in_flight() const = 0;

  protected:
    friend class Permit;
    virtual void settle(Cost reserved, Cost used) = 0;
    virtual void release() = 0;
};

/// Limits kept in this process. `clock` and `state` must outlive the result. A stored arrival time beyond one capacity
/// from now is clamped to it, so that damaged state can never lock a tenant out.
std::unique_ptr<Limits> make_local_limits(const LimitSettings& settings, LimiterState state, const Clock& clock);

}  // namespace mt
