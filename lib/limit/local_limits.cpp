#include <algorithm>
#include <limits>
#include <mutex>
#include <vector>

#include "limit/bucket.h"
#include "limit/budget_account.h"
#include "limit/gcra.h"
#include "limit/limits.h"
#include "limit/refusal.h"

namespace mt {
namespace {

// Where the reservation of a living permit ends on the two time lines. Time up to there that lies in the past has
// flowed back to the tenant and is not refunded. A refund moves everything reserved later forward by as much.
struct Mark {
    std::uint64_t ticket = 0;
    std::int64_t request_tat_ns = 0;
    std::int64_t token_tat_ns = 0;
};

// The limits of one tenant in this process's memory. One mutex covers everything, the reading of the clock included,
// so that time never goes back between two decisions.
class LocalLimits final : public Limits {
  public:
    LocalLimits(const LimitSettings& settings, LimiterState state, const Clock& clock)
        : m_clock(clock),
          m_settings(settings),
          m_requests(state.request_tat_ns, request_scale(settings)),
          m_tokens(state.token_tat_ns, token_scale(settings)),
          m_budget(state.budget_used, state.budget_period_start, {settings.budget, settings.budget_period}, clock) {
        const std::int64_t now = m_clock.boot_ns();
        m_requests.clamp(now);
        m_tokens.clamp(now);
    }

    Result<Permit> admit(Cost cost, const Context& /*context*/) override {
        const std::scoped_lock lock(m_mutex);
        const std::int64_t now = m_clock.boot_ns();
        if (cost.least_tokens > 0) {
            cost.tokens = std::clamp(token_room(now), std::min(cost.least_tokens, cost.tokens), cost.tokens);
        }
        const Verdict verdict{m_requests.decide(now, cost.requests), m_tokens.decide(now, cost.tokens),
                              m_budget.decide(now, cost.tokens)};
        if (!verdict.possible() || !verdict.allowed()) {
            return refuse(m_settings, verdict, cost);
        }
        if (m_settings.max_concurrency > 0 && m_in_flight >= m_settings.max_concurrency) {
            return refuse_concurrency(m_settings);
        }
        m_requests.take(verdict.requests);
        m_tokens.take(verdict.tokens);
        m_budget.reserve(cost.tokens);
        ++m_in_flight;
        m_marks.push_back({++m_last_ticket, verdict.requests.tat_ns, verdict.tokens.tat_ns});
        return Permit(*this, {cost, m_last_ticket}, status_at(now));
    }

    void reconfigure(const LimitSettings& settings) override {
        const std::scoped_lock lock(m_mutex);
        const std::int64_t now = m_clock.boot_ns();
        // A bucket that stays as it is keeps its debt: saving other settings is no way out of it.
        const Scale requests = request_scale(settings);
        if (requests != m_requests.scale()) {
            for (Mark& mark : m_marks) {
                mark.request_tat_ns = m_requests.convert(mark.request_tat_ns, now, requests);
            }
            m_requests.reconfigure(now, requests);
        }
        const Scale tokens = token_scale(settings);
        if (tokens != m_tokens.scale()) {
            for (Mark& mark : m_marks) {
                mark.token_tat_ns = m_tokens.convert(mark.token_tat_ns, now, tokens);
            }
            m_tokens.reconfigure(now, tokens);
        }
        m_budget.reconfigure({settings.budget, settings.budget_period});
        m_settings = settings;
    }

    [[nodiscard]] LimitStatus status() const override {
        const std::scoped_lock lock(m_mutex);
        return status_at(m_clock.boot_ns());
    }

    [[nodiscard]] bool limits_tokens() const override {
        const std::scoped_lock lock(m_mutex);
        return m_settings.tokens_per_minute > 0 || m_budget.limited();
    }

    [[nodiscard]] std::int64_t in_flight() const override {
        const std::scoped_lock lock(m_mutex);
        return m_in_flight;
    }

  protected:
    void settle(const Reservation& reservation, Cost used) override {
        const std::scoped_lock lock(m_mutex);
        const std::int64_t now = m_clock.boot_ns();
        const auto mark = find_mark(reservation.ticket);
        const Cost& reserved = reservation.cost;
        const std::int64_t requests = m_requests.give_back(mark->request_tat_ns, now, reserved.requests, used.requests);
        const std::int64_t tokens = m_tokens.give_back(mark->token_tat_ns, now, reserved.tokens, used.tokens);
        for (auto later = m_marks.erase(mark); later != m_marks.end(); ++later) {
            later->request_tat_ns -= requests;
            later->token_tat_ns -= tokens;
        }
        m_tokens.owe(now, used.tokens - reserved.tokens);
        m_budget.settle(now, reserved.tokens, used.tokens);
    }

    void release(const Reservation& reservation) override {
        const std::scoped_lock lock(m_mutex);
        --m_in_flight;
        const auto mark = find_mark(reservation.ticket);
        if (mark != m_marks.end()) {
            m_marks.erase(mark);
            m_budget.settle(m_clock.boot_ns(), reservation.cost.tokens, reservation.cost.tokens);
        }
    }

  private:
    [[nodiscard]] LimitStatus status_at(std::int64_t now) const {
        constexpr std::int64_t k_second_ns = 1'000'000'000;
        const std::int64_t burst = m_requests.scale().burst;
        const std::int64_t window = gcra::cost_ns(burst, std::max<std::int64_t>(m_settings.rate_limit, 1));
        LimitStatus status{.burst = burst,
                           .window_s = (window + k_second_ns - 1) / k_second_ns,
                           .remaining = m_requests.remaining(now),
                           .reset_ns = m_requests.reset_ns(now)};
        if (m_settings.tokens_per_minute > 0) {
            status.token_limit = m_settings.tokens_per_minute;
            status.tokens_remaining = m_tokens.remaining(now);
            status.token_reset_ns = m_tokens.reset_ns(now);
        }
        if (m_budget.limited()) {
            status.budget = m_settings.budget;
            status.budget_used = m_budget.used(now);
        }
        return status;
    }

    // Marks stand in the order of their tickets. End when the reservation was settled before.
    std::vector<Mark>::iterator find_mark(std::uint64_t ticket) {
        const auto mark = std::lower_bound(m_marks.begin(), m_marks.end(), ticket,
                                           [](const Mark& m, std::uint64_t wanted) { return m.ticket < wanted; });
        return mark != m_marks.end() && mark->ticket == ticket ? mark : m_marks.end();
    }

    // What a reservation could take at most, if nothing but tokens mattered. A spent budget refuses even 0.
    [[nodiscard]] std::int64_t token_room(std::int64_t now) const {
        std::int64_t room = std::numeric_limits<std::int64_t>::max();
        if (m_settings.tokens_per_minute > 0) {
            room = m_tokens.remaining(now);
        }
        return m_budget.limited() ? std::min(room, m_budget.left(now)) : room;
    }

    const Clock& m_clock;
    mutable std::mutex m_mutex;
    LimitSettings m_settings;
    Bucket m_requests;
    Bucket m_tokens;
    mutable BudgetAccount m_budget;  // to ask it starts a new period, too
    std::vector<Mark> m_marks;
    std::uint64_t m_last_ticket = 0;
    std::int64_t m_in_flight = 0;
};

}  // namespace

std::unique_ptr<Limits> make_local_limits(const LimitSettings& settings, LimiterState state, const Clock& clock) {
    return std::make_unique<LocalLimits>(settings, state, clock);
}

}  // namespace mt
