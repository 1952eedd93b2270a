#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "limit/limits.h"
#include "limit/refusal.h"
#include "redis/reply.h"

namespace mt {

/// What a call asks of the limits of tokens: `most`, or at least `least`.
struct TokenWish {
    std::int64_t most = 0;
    std::int64_t least = 0;
};

/// What Redis answered to an admission. Times are microseconds since 2025-01-01.
struct RedisAnswer {
    enum class Verdict { admitted, refused, crowded };
    Verdict verdict = Verdict::refused;
    std::int64_t now_us = 0;
    std::int64_t request_tat_us = 0;
    std::string request_stamp{};
    std::int64_t token_tat_us = 0;
    std::string token_stamp{};
    std::int64_t granted = 0;
    std::int64_t charged_us = 0;  ///< for tokens
    std::int64_t used = 0;        ///< of the budget, by all replicas
    std::int64_t reserved = 0;    ///< of the budget, by calls in flight, this one included
};

/// The keys of one tenant's life in Redis, in the order of the scripts: "mtagent:{tenant}:rl:v1:LIMIT:uid".
std::vector<std::string> limit_keys(std::string_view tenant, std::string_view uid);

/// The settings of ONE tenant as the scripts want them: in whole microseconds, computed in 128 bits and saturated at
/// 2^51 (71 years), so that every sum of them is exact in a double. Immutable.
class RedisTerms {
  public:
    RedisTerms(std::vector<std::string> keys, const LimitSettings& settings, std::int64_t lease_us);

    [[nodiscard]] const LimitSettings& settings() const { return m_settings; }
    [[nodiscard]] const std::vector<std::string>& keys() const { return m_keys; }
    [[nodiscard]] bool limits_tokens() const { return m_settings.tokens_per_minute > 0 || m_settings.budget > 0; }
    /// Whether calls in flight are known to Redis.
    [[nodiscard]] bool leases() const { return m_settings.max_concurrency > 0 || m_settings.budget > 0; }

    [[nodiscard]] std::int64_t request_burst() const { return m_burst; }
    [[nodiscard]] std::int64_t request_cost_us(std::int64_t requests) const;
    [[nodiscard]] std::int64_t request_capacity_us() const { return m_burst * m_unit_us; }
    [[nodiscard]] const std::string& request_scale() const { return m_request_scale; }
    /// 0 where tokens are not limited by the minute. The capacity is a minute.
    [[nodiscard]] std::int64_t token_cost_us(std::int64_t tokens) const;
    [[nodiscard]] const std::string& token_scale() const { return m_token_scale; }
    [[nodiscard]] const std::string& lease_us() const { return m_lease_us; }

    /// A range that reaches beyond what can ever be granted ends there.
    [[nodiscard]] TokenWish wish(Cost cost) const;
    /// A verdict without any state: whether the call could ever fit.
    [[nodiscard]] Verdict possible(Cost cost, const TokenWish& wish) const;
    /// The call that decides. `lease` is "replica:ticket"; `writer` and `own_use` as in the scripts.
    [[nodiscard]] redis::Call admission(Cost cost, const TokenWish& wish, const std::string& lease,
                                        const std::string& writer, const std::string& own_use) const;
    /// Errors: failed (another program's reply).
    [[nodiscard]] Result<RedisAnswer> read(const redis::Reply& reply, const TokenWish& wish) const;
    /// Why it was refused.
    [[nodiscard]] Error refusal(const RedisAnswer& answer, Cost cost, const TokenWish& wish) const;

  private:
    [[nodiscard]] bool plain() const { return !limits_tokens() && !leases(); }

    std::vector<std::string> m_keys;
    LimitSettings m_settings;
    std::int64_t m_unit_us;
    std::int64_t m_burst;
    std::string m_one_request;  // texts
    std::string m_capacity;
    std::string m_request_scale;
    std::string m_token_scale;
    std::string m_lease_us;
};

/// The time of Redis as everybody's.
WallTime redis_wall(std::int64_t redis_us);

}  // namespace mt
