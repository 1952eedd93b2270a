#pragma once

#include <span>
#include <string>

#include "base/trace.h"
#include "trace/settings.h"

namespace mt {

/// One ExportTraceServiceRequest with these spans, in the JSON of OTLP
/// (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): ids in hexadecimal, 64-bit integers as text,
/// enumerations as numbers. Of `settings` it takes the attributes of the resource. What is no UTF-8 becomes U+FFFD.
std::string encode_spans(std::span<const SpanRecord> spans, const TraceSettings& settings);

}  // namespace mt
