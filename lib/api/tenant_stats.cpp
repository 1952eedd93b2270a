// A tenant's own numbers, now and over time.

#include <fmt/core.h>

#include <mutex>
#include <optional>
#include <utility>

#include "api/calls.h"
#include "api/exchange.h"
#include "api/json_views.h"
#include "base/blocking.h"
#include "base/units.h"

namespace mt::api {
namespace {

constexpr std::string_view k_feature = "advanced-analytics";
constexpr std::int64_t k_most_steps = 1500;
constexpr std::chrono::seconds k_minute{60};

// What `since` and `step` ask for.
struct Wish {
    TimeSpan span;
    std::optional<std::chrono::seconds> step{};
};

Result<std::chrono::milliseconds> duration_parameter(std::string_view name, const std::string& text) {
    Result<std::chrono::milliseconds> duration = parse_duration(text);
    return duration ? duration : Error{Code::invalid, fmt::format("{}: {}", name, duration.error().message)};
}

Result<std::chrono::seconds> read_step(const std::string& text, std::chrono::milliseconds since) {
    Result<std::chrono::milliseconds> step = duration_parameter("step", text);
    if (!step) {
        return std::move(step).error();
    }
    if (*step < k_minute || *step % k_minute != std::chrono::milliseconds{0}) {
        return Error{Code::invalid, "step: give whole minutes, such as 1m or 1h"};
    }
    if (since / *step >= k_most_steps) {
        return Error{Code::invalid, fmt::format("step: that makes more than {} steps, use a longer one", k_most_steps)};
    }
    return std::chrono::duration_cast<std::chrono::seconds>(*step);
}

// Nothing: the present numbers alone.
Result<std::optional<Wish>> read_wish(const http::Request& request, WallTime now) {
    Result<std::string> since = optional_parameter(request, "since");
    Result<std::string> step = optional_parameter(request, "step");
    if (!since || !step) {
        return since ? std::move(step).error() : std::move(since).error();
    }
    if (since->empty()) {
        return step->empty() ? Result<std::optional<Wish>>(std::optional<Wish>{})
                             : Error{Code::invalid, "step: a series needs its begin, such as since=1h"};
    }
    Result<std::chrono::milliseconds> period = duration_parameter("since", *since);
    if (!period) {
        return std::move(period).error();
    }
    Wish wish{{now - *period}};
    if (!step->empty()) {
        Result<std::chrono::seconds> length = read_step(*step, *period);
        if (!length) {
            return std::move(length).error();
        }
        wish.step = *length;
    }
    return std::optional(wish);
}

// Every step of the span, also those in which nothing was counted. An hour or a month that is kept as one may begin
// before the span does: it counts in the first step.
Json series_json(const std::vector<Period>& periods, const Wish& wish, WallTime now) {
    Json series = Json::array();
    const std::chrono::seconds step = *wish.step;
    const std::int64_t from = std::chrono::floor<std::chrono::minutes>(wish.span.from).time_since_epoch().count() * 60;
    auto next = periods.begin();
    for (WallTime start{std::chrono::seconds{from / step.count() * step.count()}}; start <= now; start += step) {
        Period period{start, {}};
        for (; next != periods.end() && next->start <= start; ++next) {
            period.totals += next->totals;
        }
        series.push_back(period_json(period));
    }
    return series;
}

Json history_json(const TimeSpan& span, const Totals& totals) {
    return {{"from", format_rfc3339(span.from)},
            {"totals", stats_json({{}, totals, {}})},
            {"latency_ms", percentiles_json(totals)}};
}

// Sums up tens of thousands of minutes at worst, and its own tenant's numbers are not written meanwhile. It is not
// charged either: so a tenant has one such reader at a time, and further ones do not wait for it with a thread each.
Result<Json> read_history(const Exchange& exchange, const Tenant& tenant, const Wish& wish, WallTime now) {
    const std::unique_lock turn(*tenant.history_turn, std::try_to_lock);
    if (!turn.owns_lock()) {
        return Error{Code::busy, "another history of this tenant is being read", {}, std::chrono::seconds{1}};
    }
    const Result<BlockingRegion> region = BlockingRegion::enter();
    if (!region) {
        return region.error();
    }
    Books books = exchange.services.stats.books(tenant.record);
    if (!wish.step) {
        Result<Totals> totals = books.counted_in(wish.span, now);
        return totals ? Result<Json>(history_json(wish.span, *totals)) : Result<Json>(std::move(totals).error());
    }
    Result<std::vector<Period>> periods = books.series(wish.span, *wish.step, now);
    if (!periods) {
        return std::move(periods).error();
    }
    Totals sum;
    for (const Period& period : *periods) {
        sum += period.totals;
    }
    Json json = history_json(wish.span, sum);
    json["step_s"] = wish.step->count();
    json["series"] = series_json(*periods, wish, now);
    return json;
}

}  // namespace

Result<http::Response> tenant_stats(Exchange& exchange) {
    Result<std::shared_ptr<const Tenant>> tenant = own_tenant(exchange, exchange.route.arguments[0]);
    if (!tenant) {
        return std::move(tenant).error();
    }
    const WallTime now = exchange.services.clock.wall();
    Result<std::optional<Wish>> wish = read_wish(exchange.request, now);
    if (!wish) {
        return std::move(wish).error();
    }
    const bool analytics = (*tenant)->config.has_feature(k_feature);
    if (*wish && !analytics) {
        return Error{Code::feature_required,
                     fmt::format("history needs the feature '{}', which is not part of this plan", k_feature),
                     std::string(k_feature)};
    }
    (*tenant)->update_gauges();
    const TenantRecord& record = (*tenant)->record;
    Result<Totals> totals = exchange.services.stats.books(record).totals(record.created);
    if (!totals) {
        return std::move(totals).error();
    }
    const TenantSample sample{record.id, *totals, (*tenant)->counters->slot().gauges()};
    Json json = stats_json(sample);
    if (analytics) {
        json["latency_ms"] = percentiles_json(sample.totals);
    }
    if (*wish) {
        Result<Json> history = read_history(exchange, **tenant, **wish, now);
        if (!history) {
            return std::move(history).error();
        }
        json["since"] = *std::move(history);
    }
    return json_reply(200, json);
}

}  // namespace mt::api
