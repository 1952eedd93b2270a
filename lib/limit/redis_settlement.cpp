#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "limit/redis_scripts.h"
#include "limit/redis_tenant.h"

namespace mt {
namespace {

constexpr std::size_t k_most_leases_told = 500;  // at once, so that nobody waits for it

std::string text_of(std::int64_t number) {
    return fmt::format("{}", number);
}

// The arguments of limit_scripts::settle.
struct Settlement {
    std::int64_t request_mark_us = 0;
    std::string request_stamp{};
    std::int64_t request_refund_us = 0;
    std::int64_t request_before_us = 0;
    std::int64_t token_mark_us = 0;
    std::string token_stamp{};
    std::int64_t token_refund_us = 0;
    std::int64_t token_before_us = 0;
    std::int64_t token_charged_us = 0;
    std::int64_t token_debt_us = 0;
    std::string ending_lease{};
    std::string beginning_lease{};
    std::string own_use{};

    [[nodiscard]] bool says_nothing() const {
        return request_refund_us == 0 && token_charged_us == 0 && token_debt_us == 0 && ending_lease.empty() &&
               beginning_lease.empty() && own_use.empty();
    }
    [[nodiscard]] redis::Call call(const RedisTerms& terms, const std::string& writer) const {
        return {&limit_scripts::settle(),
                terms.keys(),
                {text_of(request_mark_us), request_stamp, text_of(request_refund_us), text_of(request_before_us),
                 text_of(token_mark_us), token_stamp, text_of(token_refund_us), text_of(token_before_us),
                 text_of(token_charged_us), text_of(token_debt_us), terms.token_scale(), ending_lease, beginning_lease,
                 terms.lease_us(), writer, own_use}};
    }
};

}  // namespace

void RedisLimits::settle(const Reservation& reservation, Cost used) {
    const std::lock_guard lock(m_mutex);
    OpenCall& call = m_calls.at(reservation.ticket);
    count_use(call, reservation.cost, used);
    tell_settlement(call, reservation.ticket, reservation.cost, used, false);
    call.settled = true;
}

void RedisLimits::release(const Reservation& reservation) {
    const std::lock_guard lock(m_mutex);
    OpenCall& call = m_calls.at(reservation.ticket);
    const bool settled = call.settled;
    const Cost& cost = reservation.cost;
    call.settled = true;
    if (!settled && !call.share) {
        m_budget.settle(m_hub.clock().boot_ns(), cost.tokens, cost.tokens);
    }
    call.share.reset();
    if (settled) {
        drop_lease(std::exchange(call.lease, {}));
    } else {
        tell_settlement(call, reservation.ticket, cost, cost, true);
    }
    m_calls.erase(reservation.ticket);
}

// In this process.
void RedisLimits::count_use(OpenCall& call, Cost reserved, Cost used) {
    if (!call.share) {
        m_budget.settle(m_hub.clock().boot_ns(), reserved.tokens, used.tokens);
        return;
    }
    call.share->settle(used);
    if (m_away && call.outage == m_outage) {
        m_owed_requests += std::min<std::int64_t>(0, used.requests - reserved.requests);
        m_owed_tokens += used.tokens - reserved.tokens;
    }
}

// In Redis, which is told nothing where nothing has changed.
void RedisLimits::tell_settlement(OpenCall& call, std::uint64_t ticket, Cost reserved, Cost used, bool released) {
    const std::int64_t now = m_hub.clock().boot_ns();
    const RedisTerms& terms = *call.terms;
    Settlement settlement;
    if (call.outage == 0) {
        settlement.request_mark_us = call.request_mark_us;
        settlement.request_stamp = call.request_stamp;
        settlement.request_refund_us = terms.request_cost_us(reserved.requests - used.requests);
        settlement.request_before_us = call.request_before_us;
        settlement.token_before_us = call.token_before_us;
        settlement.token_charged_us = call.token_charged_us;
        settlement.token_mark_us = call.token_mark_us;
        settlement.token_stamp = call.token_stamp;
        settlement.token_refund_us =
            std::max<std::int64_t>(0, call.token_charged_us - terms.token_cost_us(used.tokens));
    }
    const bool still_owed = m_away && call.outage == m_outage;
    if (call.outage == 0 || (call.share && !still_owed)) {
        settlement.token_debt_us = m_terms->token_cost_us(used.tokens - reserved.tokens);
    }
    if (call.terms->limits_tokens() && !call.lease.empty() && terms.settings().budget > 0) {
        settlement.ending_lease = call.lease;
        call.lease = terms.settings().max_concurrency > 0 ? lease_name(ticket) + ":0" : std::string();
        settlement.beginning_lease = released ? std::string() : call.lease;
    }
    if (released && settlement.ending_lease.empty()) {
        settlement.ending_lease = call.lease;
    }
    if (used.tokens > 0 || released) {
        settlement.own_use = own_use();
    }
    if (settlement.says_nothing()) {
        return;
    }
    if (!settlement.own_use.empty()) {
        want_attention();
    }
    m_level.add_requests(now, -settlement.request_refund_us, *m_terms);
    m_level.add_tokens(now, settlement.token_debt_us - settlement.token_refund_us);
    m_hub.post(settlement.call(*m_terms, m_hub.options().writer));
}

void RedisLimits::drop_lease(const std::string& lease) {
    if (!lease.empty()) {
        Settlement settlement;
        settlement.ending_lease = lease;
        m_hub.post(settlement.call(*m_terms, m_hub.options().writer));
    }
}

void RedisLimits::attend(bool lost) {
    const std::lock_guard lock(m_mutex);
    const std::int64_t now = m_hub.clock().boot_ns();
    if (m_away) {
        end_outage();
    } else if (lost) {
        tell_all(0, 0, true);
    } else if (now >= m_next_telling_ns) {
        tell_all(0, 0, false);
    }
    const bool leases = m_terms->leases() && !m_calls.empty();
    if (!leases && own_use().empty()) {
        m_remembered = false;
        m_hub.forget(*this);
    }
}

// `levels`: of the buckets, too.
void RedisLimits::tell_all(std::int64_t request_cost_us, std::int64_t token_cost_us, bool levels) {
    const auto known = [&](std::int64_t tat_us) { return text_of(levels && m_level.known() ? tat_us : 0); };
    const RedisTerms& terms = *m_terms;
    const redis::Call blank{&limit_scripts::upkeep(),
                            m_keys,
                            {"0", "0", text_of(terms.request_capacity_us()), terms.request_scale(), "0", "0",
                             terms.token_scale(), terms.lease_us(), m_hub.options().writer, ""}};
    redis::Call call = blank;
    call.arguments[0] = known(m_level.request_tat_us());
    call.arguments[1] = text_of(request_cost_us);
    if (terms.settings().tokens_per_minute > 0) {
        call.arguments[4] = known(m_level.token_tat_us());
        call.arguments[5] = text_of(token_cost_us);
    }
    call.arguments[9] = own_use();
    for (auto& [ticket, open] : m_calls) {
        if (open.lease.empty() && terms.leases() && !open.settled) {  // there was no such limit when it came
            open.lease = fmt::format("{}:{}", lease_name(ticket), terms.settings().budget > 0 ? open.granted : 0);
        }
        if (!open.lease.empty()) {
            call.arguments.push_back(open.lease);
        }
        if (call.arguments.size() >= blank.arguments.size() + k_most_leases_told) {
            m_hub.post(std::exchange(call, blank));
        }
    }
    m_hub.post(std::move(call));
    m_next_telling_ns = m_hub.clock().boot_ns() + std::chrono::nanoseconds{m_hub.options().lease}.count() / 3;
}

}  // namespace mt
