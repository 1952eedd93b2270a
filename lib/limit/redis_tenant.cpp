#include "limit/redis_tenant.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "limit/redis_scripts.h"

namespace mt {
namespace {

constexpr std::int64_t k_most_told = std::int64_t{1} << 52;

std::string with_tokens(const std::string& lease, std::int64_t tokens) {
    return fmt::format("{}:{}", lease, tokens);
}

// What never fits a share may fit the whole limit again soon.
Error by_share_alone(Error refusal) {
    constexpr std::chrono::seconds k_retry_after{1};
    if (!refusal.retry_after && refusal.code == Code::rate_limited) {
        refusal.retry_after = k_retry_after;
    }
    return refusal;
}

}  // namespace

RedisLimits::RedisLimits(RedisHub& hub, std::vector<std::string> keys, const LimitSettings& settings,
                         LimiterState state)
    : m_hub(hub),
      m_keys(std::move(keys)),
      m_terms(std::make_shared<RedisTerms>(m_keys, settings, std::chrono::microseconds{hub.options().lease}.count())),
      m_budget(state.budget_used, state.budget_period_start,
               {m_terms->settings().budget, m_terms->settings().budget_period}, hub.clock()),
      m_share(state, hub.clock()) {
    const std::lock_guard lock(m_mutex);
    if (!own_use().empty()) {
        want_attention();
    }
}

RedisLimits::~RedisLimits() {
    m_hub.part(*this);
}

// A decision that was asked for by a request that waits for it without a thread.
struct RedisLimits::Begun final : Parking::Memo {
    explicit Begun(Attempt what) : attempt(std::move(what)) {}

    Attempt attempt;
    Result<redis::Reply> reply = Error{Code::internal, "no decision yet"};
};

Result<Permit> RedisLimits::admit(Cost cost, const Context& context) {
    const std::shared_ptr<Parking::Memo> left = context.parking == nullptr ? nullptr : context.parking->take();
    if (auto* begun = dynamic_cast<Begun*>(left.get())) {
        if (std::optional<Result<Permit>> permit = resumed(cost, *begun)) {
            return *std::move(permit);
        }
    }
    std::string own;
    Attempt wanted = attempt(cost, own);
    const RedisTerms& terms = *wanted.terms;
    if (const Verdict verdict = terms.possible(cost, wanted.wish); !verdict.possible()) {
        return refuse(terms.settings(), verdict, {cost.requests, wanted.wish.least});
    }
    const std::string lease = terms.leases() ? lease_name(wanted.ticket) : std::string();
    redis::Call call = terms.admission(cost, wanted.wish, lease, m_hub.options().writer, own);
    if (context.parking != nullptr && left == nullptr && park(wanted, call, *context.parking)) {
        return Error{Code::busy, "the request is put aside until Redis has decided"};
    }
    return judged(wanted, m_hub.run(call));
}

RedisLimits::Attempt RedisLimits::attempt(Cost cost, std::string& own_use_now) {
    Attempt attempt{.terms = {}, .cost = cost, .wish = {}, .ticket = m_hub.next_ticket()};
    {
        const std::lock_guard lock(m_mutex);
        attempt.terms = m_terms;
        own_use_now = own_use();
        attempt.own_used = own_use_now.empty() ? 0 : m_budget.used(m_hub.clock().boot_ns());
    }
    attempt.wish = attempt.terms->wish(cost);
    return attempt;
}

// False: Redis cannot be asked so.
bool RedisLimits::park(const Attempt& attempt, redis::Call call, Parking& parking) {
    auto memo = std::make_shared<Begun>(attempt);
    const bool begun = m_hub.begin(std::move(call), [memo, &parking](Result<redis::Reply> reply) {
        memo->reply = std::move(reply);
        parking.resume();
    });
    if (begun) {
        parking.park(std::move(memo));
    }
    return begun;
}

// Nothing: the decision is about something else, because the tenant's settings have changed meanwhile, or the tenant
// has a new life.
std::optional<Result<Permit>> RedisLimits::resumed(Cost cost, Begun& begun) {
    if (begun.attempt.terms->keys() != m_keys) {
        return std::nullopt;
    }
    Result<Permit> permit = judged(begun.attempt, m_hub.hear(std::move(begun.reply)));
    const Cost& asked = begun.attempt.cost;
    if (asked.requests == cost.requests && asked.tokens == cost.tokens && asked.least_tokens == cost.least_tokens) {
        return permit;
    }
    if (permit) {
        permit->settle({0, 0});
    }
    return std::nullopt;
}

Result<Permit> RedisLimits::judged(const Attempt& attempt, const Result<redis::Reply>& reply) {
    if (!reply) {
        return reply.error().code == Code::busy ? Result<Permit>(reply.error()) : without_redis(attempt, reply.error());
    }
    const Result<RedisAnswer> answer = attempt.terms->read(*reply, attempt.wish);
    return answer ? decided(attempt, *answer) : without_redis(attempt, answer.error());
}

Result<Permit> RedisLimits::decided(const Attempt& attempt, const RedisAnswer& answer) {
    m_hub.decided_by_redis();
    const RedisTerms& terms = *attempt.terms;
    if (terms.settings().budget > 0) {
        m_hub.clock().learn(answer.now_us);
    }
    const std::lock_guard lock(m_mutex);
    if (m_away) {
        end_outage();  // before the answer, which knows nothing of it
    }
    const bool admitted = answer.verdict == RedisAnswer::Verdict::admitted;
    if (admitted) {
        m_budget.reserve(answer.granted);
    }
    if (attempt.terms == m_terms) {
        m_level.hear(answer, m_hub.clock().boot_ns(), attempt.own_used, m_budget.reserved());
    }
    if (!admitted) {
        return terms.refusal(answer, attempt.cost, attempt.wish);
    }
    OpenCall call;
    call.request_mark_us = answer.request_tat_us;
    call.request_stamp = answer.request_stamp;
    call.token_mark_us = answer.token_tat_us;
    call.token_stamp = answer.token_stamp;
    call.token_charged_us = answer.charged_us;
    call.request_before_us = answer.request_tat_us - terms.request_cost_us(attempt.cost.requests) - answer.now_us;
    call.token_before_us = answer.token_tat_us - answer.charged_us - answer.now_us;
    call.granted = answer.granted;
    return insert(attempt, std::move(call));
}

Permit RedisLimits::insert(const Attempt& attempt, OpenCall&& call) {
    call.terms = attempt.terms;
    const std::int64_t granted = call.granted;
    if (attempt.terms->leases()) {
        call.lease = with_tokens(lease_name(attempt.ticket), attempt.terms->settings().budget > 0 ? granted : 0);
        want_attention();
    }
    m_calls.emplace(attempt.ticket, std::move(call));
    return Permit(*this, {{attempt.cost.requests, granted}, attempt.ticket}, status_now());
}

Result<Permit> RedisLimits::without_redis(const Attempt& attempt, const Error& error) {
    m_hub.decided_without();
    const std::lock_guard lock(m_mutex);
    if (!m_away) {
        begin_outage();
    }
    const LimiterOutage mode = m_hub.options().outage;
    if (mode == LimiterOutage::closed) {
        constexpr std::chrono::seconds k_retry_after{1};
        Error refusal = error;
        refusal.code = Code::unavailable;
        refusal.message = "the limits of this call cannot be asked for now: try again";
        refusal.retry_after = error.retry_after.value_or(k_retry_after);
        return refusal;
    }
    OpenCall call{.granted = attempt.wish.most, .outage = m_outage};
    if (mode == LimiterOutage::open) {
        m_budget.reserve(call.granted);
        return insert(attempt, std::move(call));
    }
    return by_share(attempt, call);
}

Result<Permit> RedisLimits::by_share(const Attempt& attempt, OpenCall& call) {
    // Late, it may have been admitted all the same: unless it is now, it is not in flight.
    const RedisTerms& terms = *attempt.terms;
    const std::string late =
        terms.leases() ? with_tokens(lease_name(attempt.ticket), terms.settings().budget > 0 ? call.granted : 0) : "";
    follow_period();
    const std::int64_t most = m_share.calls_at_once();
    if (most > 0 && static_cast<std::int64_t>(m_calls.size()) >= most) {
        drop_lease(late);
        return refuse_concurrency(m_terms->settings());
    }
    Result<Permit> permit = m_share.limits().admit(
        {attempt.cost.requests, attempt.wish.most, std::min(attempt.wish.least, attempt.wish.most)}, Context{});
    if (!permit) {
        drop_lease(late);
        return by_share_alone(std::move(permit).error());
    }
    if (permit->granted() != call.granted) {
        drop_lease(late);
    }
    call.granted = permit->granted();
    call.share = *std::move(permit);
    m_owed_requests += attempt.cost.requests;
    m_owed_tokens += call.granted;
    return insert(attempt, std::move(call));
}

void RedisLimits::begin_outage() {
    m_away = true;
    ++m_outage;
    m_owed_requests = 0;
    m_owed_tokens = 0;
    if (m_hub.options().outage == LimiterOutage::local_share) {
        m_share_period = m_budget.limited() ? period_start(m_terms->settings().budget_period, m_hub.clock().wall())
                                            : std::chrono::sys_days{};
        m_share.begin(*m_terms, m_hub.counts().replicas, m_level, budget_view());
    }
    want_attention();
}

// The budget begins anew in the middle of an outage, too.
void RedisLimits::follow_period() {
    if (!m_budget.limited()) {
        return;
    }
    const std::chrono::sys_days period = period_start(m_terms->settings().budget_period, m_hub.clock().wall());
    if (period > m_share_period) {
        m_share_period = period;
        m_share.change(*m_terms, budget_view());
    }
}

void RedisLimits::end_outage() {
    m_away = false;
    const std::int64_t now = m_hub.clock().boot_ns();
    const std::int64_t requests = m_terms->request_cost_us(m_owed_requests);
    const std::int64_t tokens = m_terms->token_cost_us(std::max<std::int64_t>(0, m_owed_tokens));
    tell_all(requests, tokens, true);
    m_level.add_requests(now, requests, *m_terms);
    m_level.add_tokens(now, tokens);
}

void RedisLimits::reconfigure(const LimitSettings& settings) {
    auto terms =
        std::make_shared<const RedisTerms>(m_keys, settings, std::chrono::microseconds{m_hub.options().lease}.count());
    const std::lock_guard lock(m_mutex);
    m_level.convert(m_hub.clock().boot_ns(), *m_terms, *terms);
    m_terms = std::move(terms);
    m_budget.reconfigure({m_terms->settings().budget, m_terms->settings().budget_period});
    if (m_away && m_hub.options().outage == LimiterOutage::local_share) {
        m_share.change(*m_terms, budget_view());
    }
    want_attention();
}

LimitStatus RedisLimits::status() const {
    const std::lock_guard lock(m_mutex);
    return status_now();
}

LimitStatus RedisLimits::status_now() const {
    const std::int64_t now = m_hub.clock().boot_ns();
    const bool by_share = m_away && m_hub.options().outage == LimiterOutage::local_share;
    LimitStatus status = by_share ? m_share.limits().status() : m_level.status(now, *m_terms);
    status.budget = m_terms->settings().budget;
    status.budget_used = 0;
    if (status.budget > 0) {
        status.budget_used =
            m_budget.used(now) + m_level.used_by_others(m_terms->settings().budget_period, m_hub.clock().wall());
    }
    return status;
}

bool RedisLimits::limits_tokens() const {
    const std::lock_guard lock(m_mutex);
    return m_terms->limits_tokens();
}

std::int64_t RedisLimits::in_flight() const {
    const std::lock_guard lock(m_mutex);
    return static_cast<std::int64_t>(m_calls.size());
}

std::string RedisLimits::own_use() {
    if (!m_budget.limited()) {
        return {};
    }
    const std::int64_t used = std::min(m_budget.used(m_hub.clock().boot_ns()), k_most_told);
    return used == 0 ? std::string() : fmt::format("{:08}{}", m_budget.period().time_since_epoch().count(), used);
}

OutageShare::BudgetView RedisLimits::budget_view() const {
    if (!m_budget.limited()) {
        return {};
    }
    const LimitSettings& settings = m_terms->settings();
    const std::int64_t used = m_budget.used(m_hub.clock().boot_ns());
    const std::int64_t others =
        m_level.used_by_others(settings.budget_period, m_hub.clock().wall()) + m_level.reserved_by_others();
    return {settings.budget - others - used - m_budget.reserved(), used, m_budget.reserved()};
}

std::string RedisLimits::lease_name(std::uint64_t ticket) const {
    return fmt::format("{}:{}", m_hub.options().replica, ticket);
}

void RedisLimits::want_attention() {
    if (!m_remembered) {
        m_remembered = true;
        m_next_telling_ns = m_hub.clock().boot_ns() + std::chrono::nanoseconds{m_hub.options().lease}.count() / 3;
        m_hub.remember(*this);
    }
}

}  // namespace mt
