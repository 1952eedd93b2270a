#pragma once

#include <atomic>
#include <string>

#include "catalog/catalog.h"
#include "http/message.h"
#include "pipeline/pipeline.h"
#include "stats/ledger.h"
#include "tenant/manager.h"
#include "tenant/stats_reader.h"

namespace mt::api {

/// What the endpoints work with. References outlive the Api.
struct Services {
    PipelineServices& pipeline;
    Catalog& catalog;
    TenantManager& tenants;
    TenantFiles& files;
    StatsReader& stats;
    Ledger& ledger;
    const Clock& clock;
    Log& log;
    std::string operator_token{};
    std::string version{};
    bool loopback = true;  ///< the server cannot be reached from other machines
    std::int64_t request_timeout_ms = 60'000;
    std::function<std::int64_t()> connections = nullptr;  ///< open now, for metrics
    std::atomic<bool> draining{false};
    std::int64_t started_ns = 0;  ///< Clock::boot_ns at the start
};

/// All endpoints of the server (DESIGN 4.3): routes by shape, decodes the wire, calls the pipeline or the catalog,
/// encodes the reply. Thread-safe; never throws.
class Api {
  public:
    explicit Api(Services& services) : m_services(services) {}

    void handle(const http::Request& request, http::Responder& responder);

    /// The reply for a message that the transport refused by itself; counts it.
    http::Response fault(const Error& error);

  private:
    Services& m_services;
};

}  // namespace mt::api
