#include "base/trace.h"

#include <doctest/doctest.h>

#include <set>

#include "support/fake_clock.h"

using namespace mt;
using mt::test::FakeClock;

namespace {

constexpr std::string_view k_parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr std::string_view k_request = "00112233445566778899aabbccddeeff";

class Collector final : public Tracer {
  public:
    bool sample(const TraceId& /*trace_id*/, const TraceContext* parent) override {
        parents += parent != nullptr ? 1 : 0;
        return sampling;
    }
    void take(std::vector<SpanRecord>&& taken) override { spans = std::move(taken); }

    bool sampling = true;
    int parents = 0;
    std::vector<SpanRecord> spans;
};

}  // namespace

TEST_CASE("a traceparent goes through reading and writing unchanged") {
    const std::optional<TraceContext> context = parse_traceparent(k_parent, "vendor=1");
    REQUIRE(context.has_value());
    CHECK(format_traceparent(*context) == k_parent);
    CHECK(context->sampled);
    CHECK(context->state == "vendor=1");
}

TEST_CASE("a malformed traceparent is none") {
    const std::string good(k_parent);
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string bad = good;
        bad[i] = 'X';
        CHECK_FALSE(parse_traceparent(bad).has_value());
        CHECK_FALSE(parse_traceparent(good.substr(0, i)).has_value());
    }
    CHECK_FALSE(parse_traceparent(good + "-00").has_value());  // version 00 has four parts
    CHECK_FALSE(parse_traceparent("ff" + good.substr(2)).has_value());
    CHECK(parse_traceparent("01" + good.substr(2) + "-more").has_value());
    CHECK_FALSE(parse_traceparent("01" + good.substr(2) + "more").has_value());
    CHECK_FALSE(parse_traceparent("00-00000000000000000000000000000000-b7ad6b7169203331-01").has_value());
    CHECK_FALSE(parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01").has_value());
    CHECK(parse_traceparent(good, std::string(513, 'x'))->state.empty());
    CHECK(parse_traceparent(good, "a\nb")->state.empty());
}

TEST_CASE("spans nest, carry the parent's trace and are handed over once") {
    FakeClock clock;
    Collector collector;
    Trace trace;
    trace.begin(k_request, parse_traceparent(k_parent), &collector, clock);
    CHECK(collector.parents == 1);
    {
        Span outer(&trace, SpanKind::server, "GET", "/{tenant}");
        outer.set("http.route", std::string("/{tenant}"));
        {
            Span inner(&trace, SpanKind::client, "chat");
            inner.fail("timeout");
            CHECK(format_traceparent(*trace.current()).substr(36, 16) != std::string(k_parent.substr(36, 16)));
        }
        Span sibling(&trace, SpanKind::internal, "admit");
    }
    trace.finish();
    REQUIRE(collector.spans.size() == 3);
    const auto& spans = collector.spans;
    CHECK(spans[0].name == "GET /{tenant}");
    CHECK(spans[0].parent_id == parse_traceparent(k_parent)->span_id);
    CHECK(spans[1].parent_id == spans[0].span_id);
    CHECK(spans[2].parent_id == spans[0].span_id);
    CHECK(spans[1].failed);
    CHECK_FALSE(spans[0].failed);
    std::set<SpanId> ids;
    for (const SpanRecord& span : spans) {
        CHECK(span.trace_id == parse_traceparent(k_parent)->trace_id);
        CHECK(span.end_unix_ns >= span.start_unix_ns);
        ids.insert(span.span_id);
    }
    CHECK(ids.size() == 3);
    CHECK(trace.upstream_ns().size() == 1);
    collector.spans.clear();
    trace.finish();
    CHECK(collector.spans.empty());
}

TEST_CASE("without a parent the request's id names the trace, which begins there") {
    FakeClock clock;
    Collector collector;
    Trace trace;
    trace.begin(k_request, std::nullopt, &collector, clock);
    CHECK(trace.id() == k_request);
    { const Span span(&trace, SpanKind::server, "GET"); }
    trace.finish();
    REQUIRE(collector.spans.size() == 1);
    CHECK(collector.spans[0].parent_id == SpanId{});
}

TEST_CASE("what is not sampled records nothing, still passes a valid traceparent on, and times its upstreams") {
    FakeClock clock;
    Collector collector;
    collector.sampling = false;
    Trace trace;
    trace.begin(k_request, std::nullopt, &collector, clock);
    {
        Span span(&trace, SpanKind::client, "chat");
        CHECK_FALSE(span.recording());
    }
    trace.finish();
    CHECK(collector.spans.empty());
    CHECK(trace.upstream_ns().size() == 1);
    const std::string out = format_traceparent(*trace.current());
    CHECK(out.ends_with("-00"));
    CHECK(parse_traceparent(out).has_value());

    Trace through;
    through.begin(k_request, parse_traceparent(k_parent), &collector, clock);
    CHECK(format_traceparent(*through.current()) == k_parent);  // as it came
    Trace alone;
    alone.begin(k_request, parse_traceparent(k_parent), nullptr, clock);
    CHECK(format_traceparent(*alone.current()) == k_parent);

    Trace untraced;
    const Span nobody(&untraced, SpanKind::client, "chat");
    const Span nothing(nullptr, SpanKind::client, "chat");
    CHECK(untraced.current() == nullptr);
    CHECK(untraced.id().empty());
}
