#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/agent.h"
#include "base/context.h"
#include "base/result.h"
#include "limit/limits.h"
#include "tenant/tenant.h"

namespace mt {

enum class CacheUse { bypass, miss, hit };

/// One call of an agent on its way through the pipeline: what the wire said, and what the stages found out. Belongs to
/// one thread. `sink` takes the answer's events and must outlive the call; stages may put one of their own before it.
struct Call {
    explicit Call(Sink& answer_sink) : sink(&answer_sink) {}

    // From the wire.
    Context context;                           ///< request id, stop token, deadline; tenant and key are filled in
    std::string tenant_id;                     ///< empty: the key names the tenant
    std::optional<std::string> presented_key;  ///< text of the API key, if one was sent
    std::string_view route;                    ///< for the log: "GET /{tenant}"
    std::string_view peer;                     ///< for the log: address of the client
    Result<Question> question = Question{};    ///< or why the request says none: judged after authentication
    bool cache_allowed = true;                 ///< false: Cache-Control said no-cache or no-store
    Sink* sink;

    // From the stages.
    std::shared_ptr<const Tenant> tenant;
    std::optional<Permit> permit;
    std::optional<LimitStatus> limit;  ///< for the RateLimit fields, present once admission was asked
    CacheUse cache = CacheUse::bypass;
    Answer answer;                ///< its usage holds on failure, too
    std::int64_t started_ns = 0;  ///< Clock::boot_ns
    std::int64_t duration_ns = 0;
};

}  // namespace mt
