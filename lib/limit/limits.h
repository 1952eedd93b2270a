#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "base/context.h"
#include "base/result.h"
#include "config/budget.h"

namespace mt {

/// What a call costs: requests and language-model tokens.
struct Cost {
    std::int64_t requests = 1;
    std::int64_t tokens = 0;
    std::int64_t least_tokens = 0;  ///< of an admission that can do with fewer than `tokens`; 0: exactly `tokens`
};

/// The limits of one tenant; 0 means unlimited for tokens, concurrency and budget.
struct LimitSettings {
    std::int64_t rate_limit = 10;        ///< requests per minute, at least 1
    std::int64_t burst = 10;             ///< requests that may come at once, at least 1
    std::int64_t tokens_per_minute = 0;  ///< 0: unlimited
    std::int64_t max_concurrency = 0;    ///< calls at the same time, 0: unlimited
    std::int64_t budget = 0;             ///< tokens for each `budget_period`, 0: unlimited
    BudgetPeriod budget_period = BudgetPeriod::day;
};

/// The limiter's memory, which lives in the tenant's statistics slot so that it survives a crash: the theoretical
/// arrival times (GCRA) in Clock::boot_ns, and the tokens that ended calls used of the budget. What calls in flight
/// have reserved of the budget is not in it: it goes with the process that answered them, so that a killed process
/// leaves nothing reserved and loses nothing settled. Owned by the caller and valid while the Limits live.
struct LimiterState {
    std::atomic<std::int64_t>& request_tat_ns;
    std::atomic<std::int64_t>& token_tat_ns;
    std::atomic<std::int64_t>& budget_used;
    std::atomic<std::int64_t>& budget_period_start;  ///< days since 1970-01-01 (UTC), of the first day
};

/// What a Permit remembers for the Limits that issued it.
struct Reservation {
    Cost cost{};               ///< what was charged at the admission: `tokens` is what was granted
    std::uint64_t ticket = 0;  ///< the limiter's own name of this admission
};

/// What the RateLimit fields of a reply say about the limits of requests and tokens.
struct LimitStatus {
    std::int64_t burst = 0;        ///< quota: requests that may come at once
    std::int64_t window_s = 0;     ///< seconds in which `burst` is restored, rounded up
    std::int64_t remaining = 0;    ///< requests that would be admitted right now
    std::int64_t reset_ns = 0;     ///< until the whole burst is available again
    std::int64_t token_limit = 0;  ///< tokens per minute, as many may come at once; 0: none, and the next two are 0
    std::int64_t tokens_remaining = 0;  ///< tokens that the token limit would admit right now, the budget left aside
    std::int64_t token_reset_ns = 0;    ///< until all of `token_limit` is available again
    std::int64_t budget = 0;            ///< tokens for the present period, 0: none, and the next one is 0
    std::int64_t budget_used = 0;       ///< by calls that have ended; may be more than `budget`
};

class Limits;

/// An admitted call. Movable, not copyable. The destructor gives back the concurrency slot; settle() says what was
/// really used. Must not outlive the Limits that issued it. Used by one thread at a time.
class Permit {
  public:
    Permit() = default;
    Permit(Limits& limits, const Reservation& reservation, const LimitStatus& status);
    Permit(Permit&& other) noexcept;
    Permit& operator=(Permit&& other) noexcept;
    ~Permit();

    /// Replaces the reserved cost by the used one, once: less is refunded as far as it has not flowed back already,
    /// more tokens become debt: the bucket then refuses until it is paid, and never stands more than one capacity
    /// below empty. More requests than reserved are not charged. The budget counts all tokens used, however many were
    /// reserved, in the period of this moment. Later calls do nothing.
    ///
    /// A permit that ends without it stays charged as reserved, in the budget, too: nobody knows what was used.
    void settle(Cost used);

    /// Tokens that were reserved: as many as were asked for, or fewer where the cost named a least amount.
    [[nodiscard]] std::int64_t granted() const { return m_reservation.cost.tokens; }

    /// State of the limits right after this admission.
    [[nodiscard]] const LimitStatus& status() const { return m_status; }

  private:
    void release();

    Limits* m_limits = nullptr;
    Reservation m_reservation;
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

    /// Admits or refuses. Where `cost.least_tokens` is given, reserves as much of `cost.tokens` as all limits of tokens
    /// leave, if that is the least at least, and otherwise refuses the least. Errors: rate_limited with `reason`
    /// requests, tokens or concurrency, or budget_spent with `reason` budget (the one to wait longest for); retry_after
    /// is exact for one client, and absent where waiting cannot help or nobody knows how long: for concurrency, and
    /// where the rest of the budget is only reserved by calls in flight. A spent budget admits nothing more until the
    /// next period (UTC), which begins at zero; calls in flight take their reservations into it. Calls that use more
    /// than they reserved can take the use past the budget, by as much as those do which are in flight together.
    /// unavailable when the state is away.
    virtual Result<Permit> admit(Cost cost, const Context& context) = 0;

    /// Changes the limits of calls from now on; what was used stays used, up to one new capacity. Of the budget all of
    /// it does, but where the new period starts later than the one counted so far: this one begins at zero. Tokens used
    /// without a budget do not count in a later one. Never fails.
    virtual void reconfigure(const LimitSettings& settings) = 0;

    /// State of the limits now.
    [[nodiscard]] virtual LimitStatus status() const = 0;

    /// Whether there is a limit of tokens at all, by the settings: never waits.
    [[nodiscard]] virtual bool limits_tokens() const = 0;

    /// Calls admitted and not yet released.
    [[nodiscard]] virtual std::int64_t in_flight() const = 0;

  protected:
    friend class Permit;
    /// Once, or never, for each reservation, and before its release.
    virtual void settle(const Reservation& reservation, Cost used) = 0;
    /// Once for each reservation.
    virtual void release(const Reservation& reservation) = 0;
};

/// Limits kept in this process. `clock` and `state` must outlive the result. A stored arrival time beyond one capacity
/// from now is clamped to it, so that damaged state can never lock a tenant out.
std::unique_ptr<Limits> make_local_limits(const LimitSettings& settings, LimiterState state, const Clock& clock);

}  // namespace mt
