#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/parking.h"
#include "pipeline/outcome.h"
#include "pipeline/stages.h"

namespace mt::stages {
namespace {

// Notes when the first piece of an answer comes.
class FirstPiece final : public Sink {
  public:
    FirstPiece(Sink& client, const Clock& clock) : m_client(client), m_clock(clock) {}
    bool on_event(const ModelEvent& event) override {
        m_at_ns = m_at_ns == 0 ? m_clock.boot_ns() : m_at_ns;
        return m_client.on_event(event);
    }
    /// Clock::boot_ns, 0: nothing came.
    [[nodiscard]] std::int64_t at_ns() const { return m_at_ns; }

  private:
    Sink& m_client;
    const Clock& m_clock;
    std::int64_t m_at_ns = 0;
};

// Attributes of OpenTelemetry's semantic conventions for HTTP, and our own.
void describe_request(Span& span, const Call& call, const Result<void>& outcome) {
    span.set("http.request.method", std::string(call.method));
    span.set("http.route", std::string(call.route));
    span.set("http.response.status_code", std::int64_t{status_of(outcome)});
    span.set("client.address", std::string(call.peer));
    span.set("mtagent.request.id", call.context.request_id);
    span.set("mtagent.outcome", std::string(outcome_word(call.counter)));
    if (!call.context.tenant.empty()) {
        span.set("mtagent.tenant.id", call.context.tenant);
    }
    if (!outcome) {
        span.set("mtagent.reason", std::string(reason_of(outcome)));
    }
    if (is_fault(outcome)) {
        span.fail(describe(outcome.error().code).name);
    }
}

// Everything that is inside of the outermost span.
Result<void> run_traced(Call& call, PipelineServices& services, const Next& next) {
    call.trace.begin(call.context.request_id, call.trace_parent, services.tracer, services.clock);
    call.context.trace = &call.trace;
    if (call.trace.recording()) {
        call.context.parking = nullptr;  // its spans are to show who waited for what
    }
    Span span(&call.trace, SpanKind::server, call.method, call.route);
    FirstPiece first(*call.sink, services.clock);
    Sink* const client = std::exchange(call.sink, &first);
    Result<void> outcome = next(call);
    call.sink = client;
    call.counter = counter_of(call, outcome);
    call.first_token_ns = first.at_ns() == 0 ? 0 : first.at_ns() - call.started_ns;
    if (span.recording()) {
        describe_request(span, call, outcome);
    }
    return outcome;
}

// Into the tenant's own numbers.
void count(const Call& call, const Result<void>& outcome, PipelineServices& services) {
    if (!call.counter || !call.tenant) {
        if (is_fault(outcome)) {
            services.meters.count_error(outcome.error().code);  // its tenant cannot be loaded
        } else {
            services.invalid_requests.fetch_add(1, std::memory_order_relaxed);
        }
        return;
    }
    CallRecord record;
    record.outcome = *call.counter;
    record.latency = std::chrono::nanoseconds{call.duration_ns};
    const bool charged = record.outcome == Counter::served || record.outcome == Counter::failed;
    const Usage used = charged ? used_by(call) : Usage{};
    record.tokens_in = used.tokens_in;
    record.tokens_out = used.tokens_out;
    if (outcome && call.cache != CacheUse::bypass) {
        record.cache_hit = call.cache == CacheUse::hit;
    }
    call.tenant->counters->record(record);
}

// Into the process's own histograms.
void measure(const Call& call, const Result<void>& outcome, CallMeters& meters) {
    const std::vector<std::int64_t>& upstream = call.trace.upstream_ns();
    for (const std::int64_t duration : upstream) {
        meters.upstream.record(std::chrono::nanoseconds{duration});
    }
    if (call.counter != Counter::served && call.counter != Counter::failed) {
        return;
    }
    meters.request.record(std::chrono::nanoseconds{call.duration_ns});
    if (!outcome) {
        meters.count_error(outcome.error().code);
    } else if (call.first_token_ns > 0) {
        meters.first_token.record(std::chrono::nanoseconds{call.first_token_ns});
    }
    if (!upstream.empty()) {
        const std::int64_t there = std::accumulate(upstream.begin(), upstream.end(), std::int64_t{0});
        meters.overhead.record(std::chrono::nanoseconds{std::max<std::int64_t>(call.duration_ns - there, 0)});
    }
}

// Never a key, a question or an answer.
void log_call(const Call& call, const Result<void>& outcome, PipelineServices& services) {
    const Usage used = used_by(call);
    const std::string trace_id = call.trace.id();
    const std::array fields{
        LogField{"tenant", call.tenant ? std::string_view(call.tenant->record.id) : std::string_view("-")},
        LogField{"method", call.method},
        LogField{"route", call.route},
        LogField{"status", std::int64_t{status_of(outcome)}},
        LogField{"outcome", outcome_word(call.counter)},
        LogField{"reason", reason_of(outcome)},
        LogField{"duration_ms", static_cast<double>(call.duration_ns) / 1e6},
        LogField{"queue_ms", static_cast<double>(call.queued_ns) / 1e6},
        LogField{"tokens_in", used.tokens_in},
        LogField{"tokens_out", used.tokens_out},
        LogField{"cache", to_string(call.cache)},
        LogField{"request_id", std::string_view(call.context.request_id)},
        LogField{"trace_id", std::string_view(trace_id)},
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
    if (call.context.parking != nullptr) {
        call.started_ns = call.context.parking->began_ns(call.started_ns);
    }
    Result<void> outcome = run_traced(call, services, next);
    if (call.parked()) {
        return outcome;  // nothing has happened yet
    }
    call.duration_ns = services.clock.boot_ns() - call.started_ns;
    count(call, outcome, services);
    measure(call, outcome, services.meters);
    if (call.permit) {
        call.tenant->counters->slot().in_flight.fetch_sub(1, std::memory_order_relaxed);
        call.permit.reset();  // before the reply's last byte: a client that got its answer finds its place free again
    }
    if (call.tenant && outcome && !call.answer.pure) {
        call.tenant->update_storage_gauge();  // only such an answer may have changed the store
    }
    if (services.access_log || is_fault(outcome)) {
        log_call(call, outcome, services);
    }
    if (call.trace_parent && call.context.tenant.empty()) {
        call.trace.discard();  // a stranger does not decide what is recorded
    }
    call.trace.finish();
    return outcome;
}

}  // namespace mt::stages
