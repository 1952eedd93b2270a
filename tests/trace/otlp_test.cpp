#include "trace/otlp.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace {

using Json = nlohmann::json;
using mt::SpanKind;
using mt::SpanRecord;
using mt::TraceSettings;

SpanRecord full_span() {
    SpanRecord span;
    span.trace_id = {0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c};
    span.span_id = {0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31};
    span.parent_id = {0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7};
    span.trace_state = "vendor=1";
    span.kind = SpanKind::client;
    span.name = "chat \"big\"\n";
    span.start_unix_ns = 1'795'392'000'000'000'001;
    span.end_unix_ns = 1'795'392'000'000'000'999;
    span.attributes = {
        {"text", "a\\b"},          {"count", std::numeric_limits<std::int64_t>::max()}, {"share", 0.1}, {"good", true},
        {"nothing", std::nan("")}, {"below", -std::numeric_limits<double>::infinity()}};
    span.failed = true;
    return span;
}

// The only resource of a request.
Json encoded(const std::vector<SpanRecord>& spans, const TraceSettings& settings = {}) {
    const Json request = Json::parse(mt::encode_spans(spans, settings), nullptr, false);
    REQUIRE(request.is_object());
    REQUIRE(request.size() == 1);
    REQUIRE(request["resourceSpans"].size() == 1);
    REQUIRE(request["resourceSpans"][0]["scopeSpans"].size() == 1);
    return request["resourceSpans"][0];
}

Json spans_of(const std::vector<SpanRecord>& spans) {
    return encoded(spans)["scopeSpans"][0]["spans"];
}

}  // namespace

TEST_CASE("a span is written field by field as OTLP wants it") {
    const Json expected = Json::parse(R"([{
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "parentSpanId": "00f067aa0ba902b7",
        "traceState": "vendor=1",
        "name": "chat \"big\"\n",
        "kind": 3,
        "startTimeUnixNano": "1795392000000000001",
        "endTimeUnixNano": "1795392000000000999",
        "attributes": [
            {"key": "text", "value": {"stringValue": "a\\b"}},
            {"key": "count", "value": {"intValue": "9223372036854775807"}},
            {"key": "share", "value": {"doubleValue": 0.1}},
            {"key": "good", "value": {"boolValue": true}},
            {"key": "nothing", "value": {"doubleValue": "NaN"}},
            {"key": "below", "value": {"doubleValue": "-Infinity"}}
        ],
        "status": {"code": 2}
    }])");
    CHECK(spans_of({full_span()}) == expected);
}

TEST_CASE("what a span does not have is left out") {
    SpanRecord root = full_span();
    root.parent_id = {};
    root.trace_state.clear();
    root.attributes.clear();
    root.failed = false;
    root.kind = SpanKind::server;
    const Json spans = spans_of({root, full_span()});
    REQUIRE(spans.size() == 2);
    for (const char* name : {"parentSpanId", "traceState", "attributes", "status"}) {
        CHECK_FALSE(spans[0].contains(name));
        CHECK(spans[1].contains(name));
    }
    CHECK(spans[0]["kind"] == 2);
    CHECK(spans_of({}).empty());
}

TEST_CASE("the resource says which service it is") {
    TraceSettings settings;
    CHECK(encoded({}, settings)["resource"] ==
          Json::parse(R"({"attributes":[{"key":"service.name","value":{"stringValue":"mtagent"}}]})"));
    CHECK(encoded({}, settings)["scopeSpans"][0]["scope"] == Json{{"name", "mtagent"}});
    settings.service_name = "shop";
    settings.service_version = "1.2";
    settings.resource = {{"host.name", "a\"b"}};
    const Json resource = encoded({}, settings);
    CHECK(resource["resource"] == Json::parse(R"({"attributes":[
        {"key":"service.name","value":{"stringValue":"shop"}},
        {"key":"service.version","value":{"stringValue":"1.2"}},
        {"key":"host.name","value":{"stringValue":"a\"b"}}]})"));
    CHECK(resource["scopeSpans"][0]["scope"] == Json{{"name", "mtagent"}, {"version", "1.2"}});
}

TEST_CASE("bytes that are no UTF-8 make no broken request") {
    TraceSettings settings;
    settings.service_name = "\xff";
    settings.resource = {{"\xc3", "\xed\xa0\x80"}};
    for (int byte = 1; byte < 256; ++byte) {
        SpanRecord span = full_span();
        span.name = std::string("a") + static_cast<char>(byte);
        span.trace_state = span.name;
        span.attributes = {{"key", span.name}};
        const Json written = encoded({span}, settings)["scopeSpans"][0]["spans"][0];
        CHECK(written["attributes"][0]["value"]["stringValue"] == written["name"]);
        CHECK(written["name"].get<std::string>().starts_with("a"));
        CHECK((byte >= 0x80 || written["name"] == span.name));
    }
}
