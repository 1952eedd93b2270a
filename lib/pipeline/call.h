#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/agent.h"
#include "base/context.h"
#include "base/parking.h"
#include "base/result.h"
#include "base/trace.h"
#include "limit/limits.h"
#include "stats/totals.h"
#include "tenant/tenant.h"

namespace mt {

enum class CacheUse { bypass, miss, hit };

constexpr std::string_view to_string(CacheUse use) {
    return use == CacheUse::hit ? "hit" : use == CacheUse::miss ? "miss" : "bypass";
}

/// One call of an agent on its way through the pipeline: what the wire said, and what the stages found out. Belongs to
/// one thread. `sink` takes the answer's events and must outlive the call; stages may put one of their own before it.
struct Call {
    explicit Call(Sink& answer_sink) : sink(&answer_sink) {}

    /// It was put aside: what came out of it means nothing, and it comes again.
    [[nodiscard]] bool parked() const { return context.parking != nullptr && context.parking->parked(); }

    // From the wire.
    Context context;                           ///< request id, stop token, deadline; tenant and key are filled in
    std::string tenant_id;                     ///< empty: the key names the tenant
    std::optional<std::string> presented_key;  ///< text of the API key, if one was sent
    std::string_view method;                   ///< for the log: "GET"
    std::string_view route;                    ///< for the log: "/{tenant}"
    std::string_view peer;                     ///< for the log: address of the client
    Result<Question> question = Question{};    ///< or why the request says none: judged after authentication
    std::optional<TraceContext> trace_parent;  ///< from traceparent, if a valid one came
    bool cache_allowed = true;                 ///< false: Cache-Control said no-cache or no-store
    Sink* sink;

    // From the stages.
    std::shared_ptr<const Tenant> tenant;
    std::optional<Permit> permit;
    std::optional<LimitStatus> limit;  ///< for the RateLimit fields, present once admission was asked
    CacheUse cache = CacheUse::bypass;
    Answer answer;                   ///< its usage holds on failure, too
    std::optional<Counter> counter;  ///< what it counts as, once it has ended; nothing: invalid, in no tenant's numbers
    Trace trace;                     ///< of which the context tells those below
    std::int64_t started_ns = 0;     ///< Clock::boot_ns
    std::int64_t first_token_ns = 0;  ///< from the start to the first piece of the answer, 0: none came
    std::int64_t queued_ns = 0;       ///< waiting for an agent slot
    std::int64_t duration_ns = 0;
};

}  // namespace mt
