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

/// What a Permit remembers for the Limits that issued it.
struct Reservation {
    Cost cost{};               ///< what was charged at the admission
    std::uint64_t ticket = 0;  ///< the limiter's own name of this admission
};

/// What the RateLimit fields of a reply say about the request limit.
struct LimitStatus {
    std::int64_t burst = 0;      ///< quota: requests that may come at once
    std::int64_t window_s = 0;   ///< seconds in which `burst` is restored, rounded up
    std::int64_t remaining = 0;  ///< requests that would be admitted right now
    std::int64_t reset_ns = 0;   ///< until the whole burst is available again
};

/// Tokens that a reservation could take right now.
struct TokenRoom {
    std::int64_t tokens = 0;
    bool limited = false;
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
    /// below empty. More requests than reserved are not charged. Later calls do nothing.
    void settle(Cost used);

    /// State of the request limit right after this admission.
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

    /// Admits or refuses. Errors: rate_limited with `reason` requests, tokens or concurrency (the one to wait longest
    /// for); retry_after is exact for one client, and absent where waiting cannot help or, for concurrency, nobody
    /// knows how long. unavailable when the state is away.
    virtual Result<Permit> admit(Cost cost, const Context& context) = 0;

    /// Changes the limits of calls from now on; what was used stays used, up to one new capacity. Never fails.
    virtual void reconfigure(const LimitSettings& settings) = 0;

    /// State of the request limit now.
    [[nodiscard]] virtual LimitStatus status() const = 0;

    /// Tokens that would be admitted right now.
    [[nodiscard]] virtual TokenRoom room() const = 0;

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
