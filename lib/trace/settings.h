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
    std::vector<std::pair<std::string, std::string>> resource{};  ///< further attributes of the resource
    Sampler sampler = Sampler::always_on;
    bool parent_based = true;          ///< follow the parent's decision where there is a parent
    double ratio = 1;                  ///< 0..1, of traces that begin here
    std::int64_t timeout_ms = 10'000;  ///< for one export
};

/// Reads OTEL_EXPORTER_OTLP_ENDPOINT (to which /v1/traces is added), OTEL_EXPORTER_OTLP_TRACES_ENDPOINT (complete),
/// OTEL_EXPORTER_OTLP_HEADERS, _TRACES_HEADERS, OTEL_EXPORTER_OTLP_TIMEOUT, _TRACES_TIMEOUT, OTEL_SERVICE_NAME,
/// OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, OTEL_TRACES_EXPORTER=none,
/// OTEL_SDK_DISABLED (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). A ratio
/// without a named sampler means parentbased_traceidratio. Errors: config, naming the variable; never a header's value.
Result<TraceSettings> read_trace_settings(
    const std::function<std::optional<std::string>(const std::string&)>& environment);

}  // namespace mt
