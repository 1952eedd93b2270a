#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/backend.h"
#include "base/secret_box.h"
#include "catalog/catalog.h"
#include "http/message.h"
#include "limit/fair_gate.h"
#include "pipeline/pipeline.h"
#include "stats/ledger.h"
#include "tenant/manager.h"
#include "tenant/stats_reader.h"
#include "trace/exporter.h"

namespace mt::api {

/// Counts by reason what the transport refused before any handler. Thread-safe, without locks.
class Refusals {
  public:
    void count(Code code);
    /// All reasons with their counts, also those that have not happened yet: a rate needs the zero before the one.
    [[nodiscard]] std::vector<std::pair<std::string, std::int64_t>> list() const;

  private:
    static constexpr std::array k_reasons{Code::invalid,           Code::request_timeout,
                                          Code::too_large,         Code::uri_too_long,
                                          Code::unsupported_media, Code::expectation_failed,
                                          Code::head_too_large,    Code::unsupported,
                                          Code::unavailable,       Code::busy};

    std::array<std::atomic<std::int64_t>, k_reasons.size() + 1> m_counts{};  // the last: any other reason
};

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
    std::int64_t request_timeout_ms = 600'000;
    std::function<std::int64_t()> connections = nullptr;               ///< open now, for metrics
    std::function<Result<SecretBox>()> secret_box = nullptr;           ///< seals tenants' own secrets
    std::function<std::vector<UpstreamSample>()> upstreams = nullptr;  ///< for metrics
    std::function<TraceCounts()> traces = nullptr;                     ///< for metrics
    const FairGate* gate = nullptr;                                    ///< for metrics
    std::function<std::vector<BackendStatus>()> backends = nullptr;    ///< for metrics and readiness
    std::function<LimiterSample()> limiter = nullptr;                  ///< for metrics
    std::atomic<bool> draining{false};
    Refusals refusals{};          ///< told by Api::refused
    std::int64_t started_ns = 0;  ///< Clock::boot_ns at the start
};

/// All endpoints of the server (DESIGN 4.3): routes by shape, decodes the wire, calls the pipeline or the catalog,
/// encodes the reply. Thread-safe; never throws.
class Api {
  public:
    explicit Api(Services& services) : m_services(services) {}

    void handle(const http::Request& request, http::Responder& responder);

    /// The reply for a message that the transport refuses by itself. Counts nothing: not every refusal has a reply.
    static http::Response fault(const Error& error);

    /// Counts a message or a connection that the transport refused before any handler.
    void refused(const Error& error);

    /// True for health checks, which must be answered when nothing else can be.
    [[nodiscard]] static bool is_urgent(const http::Request& request);

  private:
    Services& m_services;
};

}  // namespace mt::api
