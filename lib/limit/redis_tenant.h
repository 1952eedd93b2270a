#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/parking.h"
#include "limit/budget_account.h"
#include "limit/limits.h"
#include "limit/outage_share.h"
#include "limit/redis_hub.h"
#include "limit/redis_level.h"
#include "limit/redis_terms.h"

namespace mt {

/// The limits of ONE tenant over Redis. Thread-safe: the mutex covers what this process remembers, and the order in
/// which it tells Redis; nobody holds it while waiting for an answer. The hub must outlive it.
class RedisLimits final : public Limits, private Attended {
  public:
    RedisLimits(RedisHub& hub, std::vector<std::string> keys, const LimitSettings& settings, LimiterState state);
    RedisLimits(const RedisLimits&) = delete;
    RedisLimits& operator=(const RedisLimits&) = delete;
    ~RedisLimits() override;

    Result<Permit> admit(Cost cost, const Context& context) override;
    void reconfigure(const LimitSettings& settings) override;
    [[nodiscard]] LimitStatus status() const override;
    [[nodiscard]] bool limits_tokens() const override;
    [[nodiscard]] std::int64_t in_flight() const override;

  protected:
    void settle(const Reservation& reservation, Cost used) override;
    void release(const Reservation& reservation) override;

  private:
    using Terms = std::shared_ptr<const RedisTerms>;

    // A call on its way: what it reserved, and under which terms.
    struct OpenCall {
        Terms terms{};
        std::int64_t request_mark_us = 0;
        std::string request_stamp{};  // empty: Redis has charged nothing
        std::int64_t token_mark_us = 0;
        std::string token_stamp{};
        std::int64_t request_before_us = 0;  // what stood before it in the line
        std::int64_t token_before_us = 0;
        std::int64_t token_charged_us = 0;
        std::int64_t granted = 0;
        std::string lease{};  // empty: none
        bool settled = false;
        std::uint64_t outage = 0;       // in which it was admitted without Redis; 0: by Redis
        std::optional<Permit> share{};  // of this replica, which admitted it then
    };
    // What one admission is about.
    struct Attempt {
        Terms terms;
        Cost cost;
        TokenWish wish;
        std::uint64_t ticket = 0;
        std::int64_t own_used = 0;
    };

    struct Begun;

    Attempt attempt(Cost cost, std::string& own_use);
    bool park(const Attempt& attempt, redis::Call call, Parking& parking);
    std::optional<Result<Permit>> resumed(Cost cost, Begun& begun);
    Result<Permit> judged(const Attempt& attempt, const Result<redis::Reply>& reply);
    Result<Permit> decided(const Attempt& attempt, const RedisAnswer& answer);
    Result<Permit> without_redis(const Attempt& attempt, const Error& error);
    Result<Permit> by_share(const Attempt& attempt, OpenCall& call);
    Permit insert(const Attempt& attempt, OpenCall&& call);
    void begin_outage();
    void end_outage();
    void follow_period();
    void count_use(OpenCall& call, Cost reserved, Cost used);
    void tell_settlement(OpenCall& call, std::uint64_t ticket, Cost reserved, Cost used, bool released);
    void drop_lease(const std::string& lease);
    void attend(bool lost) override;
    void tell_all(std::int64_t request_cost_us, std::int64_t token_cost_us, bool levels);
    void want_attention();

    [[nodiscard]] std::string own_use();
    [[nodiscard]] OutageShare::BudgetView budget_view() const;
    [[nodiscard]] LimitStatus status_now() const;
    [[nodiscard]] std::string lease_name(std::uint64_t ticket) const;

    RedisHub& m_hub;
    const std::vector<std::string> m_keys;
    mutable std::mutex m_mutex;
    Terms m_terms;
    mutable BudgetAccount m_budget;  // to ask it starts a new period, too
    RedisLevel m_level;
    OutageShare m_share;
    std::unordered_map<std::uint64_t, OpenCall> m_calls;
    bool m_away = false;
    std::uint64_t m_outage = 0;        // its number
    std::int64_t m_owed_requests = 0;  // given out by the share in this outage
    std::int64_t m_owed_tokens = 0;
    std::chrono::sys_days m_share_period{};
    bool m_remembered = false;
    std::int64_t m_next_telling_ns = 0;
};

}  // namespace mt
