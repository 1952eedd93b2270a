#include "pipeline/outcome.h"

namespace mt {
namespace {

// Of an error alone.
std::optional<Counter> counter_of_error(const Error& error, bool admitted) {
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

}  // namespace

std::optional<Counter> counter_of(const Call& call, const Result<void>& outcome) {
    if (outcome) {
        return Counter::served;
    }
    const std::optional<Counter> counter = counter_of_error(outcome.error(), call.permit.has_value());
    if (!call.tenant && counter != Counter::unauthorized) {
        return std::nullopt;  // nobody's
    }
    // Whoever has used tokens has been served, if badly.
    return !counter && used_by(call).total() > 0 ? std::optional(Counter::failed) : counter;
}

std::string_view outcome_word(std::optional<Counter> counter) {
    if (!counter) {
        return "invalid";
    }
    return *counter == Counter::served         ? "served"
           : *counter == Counter::failed       ? "failed"
           : *counter == Counter::unauthorized ? "unauthorized"
                                               : "denied";
}

int status_of(const Result<void>& outcome) {
    return outcome ? 200 : describe(outcome.error().code).http_status;
}

std::string_view reason_of(const Result<void>& outcome) {
    if (outcome) {
        return {};
    }
    const Error& error = outcome.error();
    return error.reason.empty() ? describe(error.code).name : std::string_view(error.reason);
}

bool is_fault(const Result<void>& outcome) {
    return status_of(outcome) >= 500;
}

Usage used_by(const Call& call) {
    return call.cache == CacheUse::hit ? Usage{} : call.answer.usage;
}

}  // namespace mt
