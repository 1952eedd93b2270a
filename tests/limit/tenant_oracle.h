#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "limit/limit_fixture.h"

namespace mt::test {

/// A number for the day or month (UTC) of a time, by the C library's calendar.
inline std::int64_t calendar_label(BudgetPeriod period, WallTime wall) {
    const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(wall).time_since_epoch().count();
    std::tm date{};
    gmtime_r(&seconds, &date);
    const std::int64_t month = std::int64_t{date.tm_year} * 12 + date.tm_mon;
    return period == BudgetPeriod::day ? month * 32 + date.tm_mday : month;
}

/// A bucket as the queue of what was charged and has not drained yet, in whole nanoseconds. Each charge keeps its own
/// piece: what of it has drained cannot be given back.
class QueueBucket {
  public:
    explicit QueueBucket(std::int64_t capacity_ns) : m_capacity_ns(capacity_ns) {}

    void drain(std::int64_t ns) {
        while (ns > 0 && !m_pieces.empty()) {
            const std::int64_t part = std::min(ns, m_pieces.front().ns);
            m_pieces.front().ns -= part;
            m_level_ns -= part;
            ns -= part;
            if (m_pieces.front().ns == 0) {
                m_pieces.pop_front();
            }
        }
    }
    void charge(std::int64_t call, std::int64_t ns) {
        m_pieces.push_back({call, ns});
        m_level_ns += ns;
    }
    void give_back(std::int64_t call, std::int64_t ns) {
        const auto piece =
            std::find_if(m_pieces.begin(), m_pieces.end(), [&](const Piece& p) { return p.call == call; });
        if (piece != m_pieces.end()) {
            const std::int64_t given = std::min(ns, piece->ns);
            piece->ns -= given;
            m_level_ns -= given;
        }
    }
    void owe(std::int64_t ns) { charge(k_nobody, std::min(m_level_ns + ns, 2 * m_capacity_ns) - m_level_ns); }

    [[nodiscard]] std::int64_t level_ns() const { return m_level_ns; }
    /// How long until `ns` more fit.
    [[nodiscard]] std::int64_t wait_ns(std::int64_t ns) const {
        return ns == 0 ? 0 : std::max<std::int64_t>(0, m_level_ns + ns - m_capacity_ns);
    }

  private:
    static constexpr std::int64_t k_nobody = -1;
    struct Piece {
        std::int64_t call;
        std::int64_t ns;
    };
    std::deque<Piece> m_pieces;
    std::int64_t m_capacity_ns;
    std::int64_t m_level_ns = 0;
};

/// What the limits of a tenant must decide (but for concurrency), kept in the most literal way: every call with its
/// reservation, every used token with its day. For clocks that go forward and settings of which only the budget's
/// amount changes.
class TenantOracle {
  public:
    TenantOracle(const LimitSettings& settings, std::int64_t now_ns)
        : m_settings(settings),
          m_interval_ns((k_minute_ns + settings.rate_limit - 1) / settings.rate_limit),
          m_now_ns(now_ns),
          m_requests(settings.burst * m_interval_ns),
          m_tokens(k_minute_ns) {}

    /// Time goes on to here.
    void at(std::int64_t now_ns, WallTime wall) {
        m_requests.drain(now_ns - m_now_ns);
        m_tokens.drain(now_ns - m_now_ns);
        m_now_ns = now_ns;
        m_wall = wall;
    }
    void set_budget(std::int64_t tokens) { m_settings.budget = tokens; }

    /// "" when the answer is right for a call that nothing but concurrency may refuse beside these limits, else what is
    /// wrong with it. `reason` is "" when it was admitted.
    [[nodiscard]] std::string fault(Cost cost, const std::string& reason,
                                    std::optional<std::chrono::nanoseconds> retry_after) const {
        if (cost.tokens > std::min(m_settings.tokens_per_minute, m_settings.budget)) {
            return (reason == "tokens" || reason == "budget") && !retry_after ? "" : "can never fit";
        }
        const bool held = held_by_others(cost);
        const std::int64_t request_wait = m_requests.wait_ns(cost.requests * m_interval_ns);
        const std::int64_t token_wait = m_tokens.wait_ns(token_cost(cost.tokens));
        if (request_wait == 0 && token_wait == 0 && !spent_for(cost) && !held) {
            return reason.empty() || reason == "concurrency" ? "" : "refused without need: " + reason;
        }
        if (reason.empty()) {
            return "admitted too much";
        }
        if (reason == "budget") {
            return budget_fault(cost, retry_after, std::max(request_wait, token_wait));
        }
        const std::int64_t wait = reason == "requests" ? request_wait : reason == "tokens" ? token_wait : -1;
        const bool longest = wait > 0 && wait >= std::max(request_wait, token_wait) && retry_after &&
                             retry_after->count() == wait && !(spent_for(cost) && renewed_within(wait) < 0);
        return longest ? "" : "wrong limit or wait: " + reason;
    }

    void admit(std::int64_t call, Cost cost) {
        m_requests.charge(call, cost.requests * m_interval_ns);
        m_tokens.charge(call, token_cost(cost.tokens));
        m_open[call] = cost;
    }
    void settle(std::int64_t call, Cost used) {
        const Cost reserved = m_open[call];
        m_open.erase(call);
        m_requests.give_back(call, std::max<std::int64_t>(0, reserved.requests - used.requests) * m_interval_ns);
        if (used.tokens < reserved.tokens) {
            m_tokens.give_back(call, token_cost(reserved.tokens) - token_cost(used.tokens));
        } else {
            m_tokens.owe(token_cost(used.tokens - reserved.tokens));
        }
        m_used[label()] += used.tokens;
    }
    void drop(std::int64_t call) {
        m_used[label()] += m_open[call].tokens;
        m_open.erase(call);
    }

    [[nodiscard]] std::int64_t request_level_ns() const { return m_requests.level_ns(); }
    [[nodiscard]] std::int64_t token_level_ns() const { return m_tokens.level_ns(); }
    [[nodiscard]] std::int64_t used() const {
        const auto found = m_used.find(label());
        return found == m_used.end() ? 0 : found->second;
    }
    [[nodiscard]] std::int64_t reserved() const {
        std::int64_t sum = 0;
        for (const auto& [call, cost] : m_open) {
            sum += cost.tokens;
        }
        return sum;
    }
    /// The largest reservation that fits, by trying.
    [[nodiscard]] std::int64_t room() const {
        const std::int64_t left = std::max<std::int64_t>(0, m_settings.budget - used() - reserved());
        std::int64_t fits = 0;
        std::int64_t too_much = std::min(left, m_settings.tokens_per_minute) + 1;
        while (too_much - fits > 1) {
            const std::int64_t middle = fits + (too_much - fits) / 2;
            (m_tokens.wait_ns(token_cost(middle)) == 0 ? fits : too_much) = middle;
        }
        return fits;
    }
    /// Used tokens by period.
    [[nodiscard]] const std::map<std::int64_t, std::int64_t>& use_by_period() const { return m_used; }

  private:
    [[nodiscard]] std::int64_t label() const { return calendar_label(m_settings.budget_period, m_wall); }
    [[nodiscard]] std::int64_t token_cost(std::int64_t tokens) const {
        const Int128 rate = m_settings.tokens_per_minute;
        return static_cast<std::int64_t>((Int128{tokens} * k_minute_ns + rate - 1) / rate);
    }
    [[nodiscard]] bool spent_for(Cost cost) const {
        return used() >= m_settings.budget || cost.tokens > m_settings.budget - used();
    }
    [[nodiscard]] bool held_by_others(Cost cost) const {
        return cost.tokens > 0 && cost.tokens > m_settings.budget - used() - reserved();
    }
    // Below 0 when the period is still the same after `ns`, 0 when it is over since less than a millisecond.
    [[nodiscard]] std::int64_t renewed_within(std::int64_t ns) const {
        const WallTime then = m_wall + std::chrono::ceil<std::chrono::milliseconds>(std::chrono::nanoseconds{ns});
        if (calendar_label(m_settings.budget_period, then) == label()) {
            return -1;
        }
        return calendar_label(m_settings.budget_period, then - std::chrono::milliseconds{1}) == label() ? 0 : 1;
    }
    [[nodiscard]] std::string budget_fault(Cost cost, std::optional<std::chrono::nanoseconds> retry_after,
                                           std::int64_t other_wait_ns) const {
        if (spent_for(cost)) {
            const bool exact = retry_after && renewed_within(retry_after->count()) == 0;
            return exact && retry_after->count() >= other_wait_ns ? "" : "wrong wait for a spent budget";
        }
        if (!held_by_others(cost)) {
            return "the budget would do";
        }
        return !retry_after && other_wait_ns == 0 ? "" : "another limit must be waited for";
    }

    LimitSettings m_settings;
    std::int64_t m_interval_ns;
    std::int64_t m_now_ns;
    WallTime m_wall{};
    QueueBucket m_requests;
    QueueBucket m_tokens;
    std::map<std::int64_t, Cost> m_open;
    std::map<std::int64_t, std::int64_t> m_used;
};

}  // namespace mt::test
