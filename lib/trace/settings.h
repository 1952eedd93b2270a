#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mt {

/// What is traced and where spans go, as OpenTelemetry's environment variables say it.
struct TraceSettings {
    enum class Sampler { always_on, always_off, ratio };

    std::string endpoint;                                        ///< complete URL for POST; empty: nothing is exported
    std::vector<std::pair<std::string, std::string>> headers{};  ///< beside Content-Type; may hold secrets
    std::string service_name = "mtagent";
    std::string service_version{};  ///< empty: none is sent; the program fills in its own where it is empty
    std::vector<std::pair<std::string, std::string>> resource{};  ///< further attributes of the resource
    Sampler sampler = Sampler::always_on;
    bool parent_based = true;          ///< follow the parent's decision where there is a parent
    double ratio = 1;                  ///< 0..1, of traces that begin here
    std::int64_t timeout_ms = 10'000;  ///< for one export
};

/// Reads OTEL_EXPORTER_OTLP_ENDPOINT (to whose path /v1/traces is added), OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
/// (complete), OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES ("key=value,key=value", percent-encoded),
/// OTEL_EXPORTER_OTLP_TIMEOUT (milliseconds), OTEL_EXPORTER_OTLP_PROTOCOL (only http/json is spoken),
/// OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, OTEL_TRACES_EXPORTER (otlp, none), and
/// OTEL_SDK_DISABLED (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
/// https://opentelemetry.io/docs/specs/otel/protocol/exporter/). Of those with OTLP in their name the one for traces
/// (OTEL_EXPORTER_OTLP_TRACES_HEADERS) replaces the one for everything. A variable that is empty is not set.
///
/// Without an endpoint nothing is exported, unless OTEL_TRACES_EXPORTER says otlp: then it is the standard's,
/// http://localhost:4318/v1/traces. A ratio without a named sampler means parentbased_traceidratio. The attributes
/// service.name (OTEL_SERVICE_NAME goes before it) and service.version have members of their own. When it is disabled
/// nothing else is looked at. `environment` may be empty: nothing is set. Errors: config, naming the variable; never a
/// value that may hold a secret.
Result<TraceSettings> read_trace_settings(
    const std::function<std::optional<std::string>(const std::string&)>& environment);

}  // namespace mt
