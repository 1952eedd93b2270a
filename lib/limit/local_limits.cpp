#include <fmt/core.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "limit/bucket.h"
#include "limit/budget_account.h"
#include "limit/gcra.h"
#include "limit/limits.h"

namespace mt {
namespace {

// Where the reservation of a living permit ends on the two time lines. Time up to there that lies in the past has
// flowed back to the tenant and is not refunded. A refund moves everything reserved later forward by as much.
struct Mark {
    std::uint64_t ticket = 0;
    std::int64_t request_tat_ns = 0;
    std::int64_t token_tat_ns = 0;
};

constexpr std::string_view word_of(BudgetPeriod period) {
    return period == BudgetPeriod::day ? "day" : "month";
}

Error refuse(std::string reason, std::string message, std::int64_t retry_in_ns) {
    std::optional<std::chrono::nanoseconds> retry_after;
    if (retry_in_ns > 0) {
        retry_after = std::chrono::nanoseconds{retry_in_ns};
    }
    const Code code = reason == "budget" ? Code::budget_spent : Code::rate_limited;
    return Error{code, std::move(message), std::move(reason), retry_after};
}

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
        const gcra::Decision requests = m_requests.decide(now, cost.requests);
        const gcra::Decision tokens = m_tokens.decide(now, cost.tokens);
        const BudgetAccount::Decision budget = m_budget.decide(now, cost.tokens);
        if (!requests.possible || !tokens.possible || !budget.possible) {
            return hopeless_refusal(requests, tokens, cost);
        }
        if (!requests.allowed || !tokens.allowed || !budget.allowed) {
            return longest_refusal(requests, tokens, budget);
        }
        if (m_settings.max_concurrency > 0 && m_in_flight >= m_settings.max_concurrency) {
            return refuse("concurrency",
                          fmt::format("limit of {} calls at the same time reached", m_settings.max_concurrency), 0);
        }
        m_requests.take(requests);
        m_tokens.take(tokens);
        m_budget.reserve(cost.tokens);
        ++m_in_flight;
        m_marks.push_back({++m_last_ticket, requests.tat_ns, tokens.tat_ns});
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

    [[nodiscard]] TokenRoom room() const override {
        const std::scoped_lock lock(m_mutex);
        const std::int64_t now = m_clock.boot_ns();
        TokenRoom room;
        if (m_settings.tokens_per_minute > 0) {
            room = {m_tokens.remaining(now), true};
        }
        if (m_budget.limited()) {
            room = {std::min(room.tokens, m_budget.left(now)), true};
        }
        return room;
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

    // Names a limit that the call never fits.
    [[nodiscard]] Error hopeless_refusal(const gcra::Decision& requests, const gcra::Decision& tokens,
                                         Cost cost) const {
        if (!tokens.possible) {
            return refuse("tokens",
                          fmt::format("a call of up to {} tokens never fits the limit of {} tokens per minute",
                                      cost.tokens, m_settings.tokens_per_minute),
                          0);
        }
        if (!requests.possible) {
            return refuse("requests",
                          fmt::format("{} requests at once never fit the burst of {}", cost.requests, m_settings.burst),
                          0);
        }
        return refuse("budget",
                      fmt::format("a call of up to {} tokens never fits the budget of {} tokens per {}", cost.tokens,
                                  m_settings.budget, word_of(m_settings.budget_period)),
                      0);
    }

    // Names the limit that must be waited for longest, so that one wait is enough.
    [[nodiscard]] Error longest_refusal(const gcra::Decision& requests, const gcra::Decision& tokens,
                                        const BudgetAccount::Decision& budget) const {
        if (!budget.allowed && budget.retry_in_ns >= std::max(tokens.retry_in_ns, requests.retry_in_ns)) {
            return budget_refusal(budget);
        }
        if (tokens.retry_in_ns > requests.retry_in_ns) {
            return refuse("tokens", fmt::format("limit of {} tokens per minute reached", m_settings.tokens_per_minute),
                          tokens.retry_in_ns);
        }
        return refuse("requests", fmt::format("rate limit of {} requests per minute reached", m_settings.rate_limit),
                      requests.retry_in_ns);
    }

    [[nodiscard]] Error budget_refusal(const BudgetAccount::Decision& budget) const {
        const std::string_view period = word_of(m_settings.budget_period);
        return refuse("budget",
                      budget.held ? fmt::format("calls in flight hold the rest of the budget of {} tokens per {}",
                                                m_settings.budget, period)
                                  : fmt::format("the budget of {} tokens per {} is spent, or too little of it is left",
                                                m_settings.budget, period),
                      budget.retry_in_ns);
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
