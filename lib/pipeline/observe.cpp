#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "pipeline/stages.h"

namespace mt::stages {
namespace {

// The counter that an error belongs to (DESIGN 4.4), or nothing when it belongs to no tenant's numbers.
std::optional<Counter> counter_of(const Error& error, bool admitted) {
    switch (error.code) {
        case Code::unauthorized:
            return Counter::unauthorized;
        case Code::rate_limited:
            return error.reason == "tokens"        ? Counter::denied_tokens
                   : error.reason == "concurrency" ? Counter::denied_concurrency
                                                   : Counter::denied_requests;
        case Code::budget_spent:
            return Counter::denied_budget;
        case Code::forbidden:
        case Code::feature_required:
            return Counter::denied_feature;
        case Code::busy:
            return Counter::denied_overload;
        case Code::unavailable:
            return admitted ? Counter::failed : Counter::denied_overload;
        case Code::invalid:
        case Code::not_found:
        case Code::method_not_allowed:
        case Code::request_timeout:
        case Code::too_large:
        case Code::uri_too_long:
        case Code::unsupported_media:
        case Code::expectation_failed:
        case Code::head_too_large:
            return std::nullopt;
        default:
            return Counter::failed;
    }
}

// An answer from the cache has been paid for before.
Usage used_by(const Call& call) {
    return call.cache == CacheUse::hit ? Usage{} : call.answer.usage;
}

std::optional<Counter> counter_of_failure(const Call& call, const Result<void>& outcome) {
    const std::optional<Counter> counter = counter_of(outcome.error(), call.permit.has_value());
    // Whoever has used tokens has been served, if badly.
    return !counter && used_by(call).total() > 0 ? std::optional(Counter::failed) : counter;
}

void count(const Call& call, const Result<void>& outcome, PipelineServices& services) {
    const std::optional<Counter> counter = outcome ? std::optional(Counter::served) : counter_of_failure(call, outcome);
    if (!counter || !call.tenant) {
        services.invalid_requests.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    CallRecord record;
    record.outcome = *counter;
    record.latency = std::chrono::nanoseconds{call.duration_ns};
    const bool charged = *counter == Counter::served || *counter == Counter::failed;
    const Usage used = charged ? used_by(call) : Usage{};
    record.tokens_in = used.tokens_in;
    record.tokens_out = used.tokens_out;
    if (outcome && call.cache != CacheUse::bypass) {
        record.cache_hit = call.cache == CacheUse::hit;
    }
    call.tenant->counters->record(record);
}

std::string_view outcome_word(const Call& call, const Result<void>& outcome) {
    if (outcome) {
        return "served";
    }
    const std::optional<Counter> counter = counter_of_failure(call, outcome);
    if (!counter || (!call.tenant && *counter != Counter::unauthorized)) {
        return "invalid";
    }
    return *counter == Counter::failed ? "failed" : *counter == Counter::unauthorized ? "unauthorized" : "denied";
}

// Something of ours or behind us failed: the operator is told whether or not calls are logged.
bool is_fault(const Result<void>& outcome) {
    return !outcome && describe(outcome.error().code).http_status >= 500;
}

// Never a key, a question or an answer.
void log_call(const Call& call, const Result<void>& outcome, PipelineServices& services) {
    const Usage used = used_by(call);
    constexpr std::array<std::string_view, 3> k_cache{"bypass", "miss", "hit"};
    const std::array fields{
        LogField{"tenant", call.tenant ? std::string_view(call.tenant->record.id) : std::string_view("-")},
        LogField{"route", call.route},
        LogField{"status", std::int64_t{outcome ? 200 : describe(outcome.error().code).http_status}},
        LogField{"outcome", outcome_word(call, outcome)},
        LogField{"reason", outcome                          ? std::string_view{}
                           : outcome.error().reason.empty() ? describe(outcome.error().code).name
                                                            : std::string_view(outcome.error().reason)},
        LogField{"duration_ms", static_cast<double>(call.duration_ns) / 1e6},
        LogField{"tokens_in", used.tokens_in},
        LogField{"tokens_out", used.tokens_out},
        LogField{"cache", k_cache[static_cast<std::size_t>(call.cache)]},
        LogField{"request_id", std::string_view(call.context.request_id)},
        LogField{"key_id", std::string_view(call.context.key_id)},
        LogField{"peer", call.peer},
        LogField{"detail", outcome ? std::string_view{} : std::string_view(outcome.error().detail)},  // the last one
    };
    const bool detailed = !outcome && !outcome.error().detail.empty();
    services.log.write(is_fault(outcome) ? LogLevel::error : LogLevel::info,
                       is_fault(outcome) ? outcome.error().message : "call",
                       std::span(fields).first(fields.size() - (detailed ? 0 : 1)));
}

}  // namespace

Result<void> observe(Call& call, PipelineServices& services, const Next& next) {
    call.started_ns = services.clock.boot_ns();
    Result<void> outcome = next(call);
    call.duration_ns = services.clock.boot_ns() - call.started_ns;
    count(call, outcome, services);
    if (call.permit) {
        call.tenant->counters->slot().in_flight.fetch_sub(1, std::memory_order_relaxed);
        call.permit.reset();  // before the reply's last byte: a client that got its answer finds its place free again
    }
    if (call.tenant && outcome && !call.answer.pure) {
        call.tenant->update_gauges();  // only such an answer may have changed the store
    }
    if (services.access_log || is_fault(outcome)) {
        log_call(call, outcome, services);
    }
    return outcome;
}

}  // namespace mt::stages
