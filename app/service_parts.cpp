#include "app/service_parts.h"

#include <fmt/core.h>

#include <utility>

#include "app/console.h"
#include "app/open_ledger.h"
#include "app/trace_sender.h"
#include "app/workspace.h"
#include "base/text.h"
#include "config/secrets.h"
#include "tenant/data_servers.h"
#include "tenant/equipment.h"

namespace mt::app {
namespace {

constexpr std::size_t k_shortest_token = 16;

// The one that is named in the environment, else the folder's own.
Result<std::string> operator_token(const DataFolder& folder) {
    std::string named = environment("MTAGENT_OPERATOR_TOKEN").value_or("");
    std::string name = "MTAGENT_OPERATOR_TOKEN";
    if (const std::string file = environment(name + "_FILE").value_or(""); !file.empty()) {
        Result<std::string> read = read_secret_file(file);
        if (!read) {
            return Error{Code::config, fmt::format("{}_FILE: {}", name, read.error().message)};
        }
        named = *std::move(read);
        name += "_FILE";
    }
    if (!named.empty() && named.size() < k_shortest_token) {
        return Error{Code::config,
                     fmt::format("{} has {} characters: use {} or more", name, named.size(), k_shortest_token)};
    }
    Result<std::string> own = folder.operator_token();
    return own && !named.empty() ? Result<std::string>(std::move(named)) : own;
}

// Without an endpoint nothing is recorded.
Result<std::unique_ptr<TraceExporter>> open_traces(const Clock& clock, Log& log) {
    Result<TraceSettings> settings = read_trace_settings(environment);
    if (!settings) {
        return std::move(settings).error();
    }
    if (settings->service_version.empty()) {
        settings->service_version = MTAGENT_VERSION;
    }
    TraceExporter::Send send;
    if (!settings->endpoint.empty()) {
        Result<TraceExporter::Send> made = make_trace_sender(*settings, clock);
        if (!made) {
            return std::move(made).error();
        }
        send = *std::move(made);
    }
    return std::make_unique<TraceExporter>(*std::move(settings), std::move(send), log, TraceExporter::Bounds{});
}

LimiterOutage outage_of(const ServerConfig& server) {
    if (server.limiter_outage == "open") {
        return LimiterOutage::open;
    }
    return server.limiter_outage == "closed" ? LimiterOutage::closed : LimiterOutage::local_share;
}

LimiterSample sample_of(const SharedLimiter* limiter) {
    if (limiter == nullptr) {
        return {};
    }
    const SharedLimiterCounts counts = limiter->counts();
    return {counts.by_redis, counts.by_share, counts.open, counts.closed, counts.outage, counts.replicas};
}

}  // namespace

Result<std::unique_ptr<ServiceParts>> ServiceParts::open(const Ground& ground, const Config& config) {
    std::unique_ptr<ServiceParts> parts(new ServiceParts(ground));
    if (Result<void> opened = parts->open_parts(config); !opened) {
        return std::move(opened).error();
    }
    parts->wire(config);
    Result<std::string> token = operator_token(ground.folder);
    if (!token) {
        return std::move(token).error();
    }
    parts->m_services->operator_token = *std::move(token);
    return parts;
}

// In the order in which they need each other.
Result<void> ServiceParts::open_parts(const Config& config) {
    Result<std::unique_ptr<TraceExporter>> exporter = open_traces(m_ground.clock, m_ground.log);
    if (!exporter) {
        return std::move(exporter).error();
    }
    m_traces = *std::move(exporter);
    Result<std::unique_ptr<Catalog>> catalog =
        open_catalog(m_ground.backends, m_ground.folder, m_ground.files, m_ground.clock, {});
    if (!catalog) {
        return std::move(catalog).error();
    }
    m_catalog = *std::move(catalog);
    Result<OpenLedger> ledger =
        open_ledger({m_ground.backends, m_ground.folder, m_ground.files, *m_catalog}, m_ground.clock, m_ground.log);
    if (!ledger) {
        return std::move(ledger).error();
    }
    m_slots = std::move(ledger->slots);
    m_store = std::move(ledger->store);
    Result<std::vector<std::string>> seeded = seed_tenants(*m_catalog, config, system_user());
    if (!seeded) {
        return std::move(seeded).error();
    }
    for (const std::string& line : *seeded) {
        m_ground.log.info(line);
    }
    Result<std::shared_ptr<const Equipment>> made = Equipment::make(config, equipment_parts());
    if (!made) {
        return std::move(made).error();
    }
    m_equipment = *std::move(made);
    return {};
}

EquipmentParts ServiceParts::equipment_parts() const {
    return {environment, [this] { return open_secret_box(m_ground.backends, m_ground.folder); }, m_ground.clock,
            m_ground.log};
}

// Makes what needs files and servers that could not be opened in the constructor.
void ServiceParts::wire(const Config& config) {
    const Clock& clock = m_ground.clock;
    Log& log = m_ground.log;
    m_ledger.emplace(*m_slots, *m_store, clock, log, static_cast<std::size_t>(config.server.metrics_tenants));
    m_gate.emplace(gate_settings(config.server), clock);
    TenantParts parts{*m_ledger, m_ground.files, *m_gate, clock, log, most_followers(config.server)};
    parts.servers = &m_ground.backends;
    if (redis::Link* link = m_ground.backends.limiter()) {
        SharedLimiterOptions options;
        options.replica = random_hex(16);
        options.writer = m_slots->writer();
        options.outage = outage_of(config.server);
        m_limiter = std::make_unique<SharedLimiter>(*link, std::move(options), clock, log);
        parts.make_limits = [this](const TenantRecord& record, const LimitSettings& settings, LimiterState state) {
            return m_limiter->make(record.id, record.uid, settings, state);
        };
    }
    m_factory.emplace(parts, m_equipment);
    m_tenants.emplace(*m_catalog, *m_factory, *m_ledger, std::make_shared<const Config>(config), log);
    m_tenants->set_erase_data([this](const TenantRecord& record) {
        const TenantConfig settings = m_tenants->config()->resolve(record.id, record.own);
        Result<void> erased =
            erase_tenant_data(record, settings, *m_catalog, {m_ground.clock, m_ground.files, &m_ground.backends});
        return erased ? m_store->erase(record.uid) : erased;
    });
    m_stats.emplace(*m_catalog, *m_store, m_slots.get(), &*m_tenants);
    wire_services(config);
}

void ServiceParts::wire_services(const Config& config) {
    const Clock& clock = m_ground.clock;
    // NOLINTNEXTLINE(modernize-make-unique): an aggregate
    m_pipeline.reset(new PipelineServices{*m_tenants, clock, m_ground.log});
    m_pipeline->access_log = config.server.access_log;
    m_pipeline->tracer = m_traces.get();
    // NOLINTNEXTLINE(modernize-make-unique): an aggregate
    m_services.reset(new api::Services{*m_pipeline, *m_catalog, *m_tenants, m_ground.files, *m_stats, *m_ledger, clock,
                                       m_ground.log});
    m_services->version = MTAGENT_VERSION;
    m_services->request_timeout_ms = config.server.request_timeout_ms;
    m_services->started_ns = clock.boot_ns();
    m_services->secret_box = [this] { return open_secret_box(m_ground.backends, m_ground.folder); };
    m_services->gate = &*m_gate;
    m_services->traces = [this] { return m_traces->counts(); };
    m_services->upstreams = [this] { return m_factory->equipment()->samples(); };
    m_services->connections = m_ground.connections;
    m_services->backends = [this] { return m_ground.backends.statuses(); };
    m_services->limiter = [this] { return sample_of(m_limiter.get()); };
    m_api.emplace(*m_services);
}

Result<void> ServiceParts::start(const http::Address& address, bool allow_open) {
    Result<std::vector<std::string>> open = m_catalog->open_tenants(10);
    if (!open) {
        return std::move(open).error();
    }
    m_services->loopback = address.is_loopback();
    const bool open_allowed = address.is_loopback() || allow_open;
    m_factory->set_open_allowed(open_allowed);
    if (!open_allowed && !open->empty()) {
        return Error{Code::config, fmt::format("{} can be reached by others, and these tenants need no key: {}. Give "
                                               "them auth=key, listen on 127.0.0.1, or say --allow-open",
                                               address.to_string(), join(*open, ", "))};
    }
    if (m_limiter) {
        m_limiter->start();
    }
    if (Result<void> started = m_tenants->start(); !started) {
        return started;
    }
    m_ledger->start();
    return {};
}

Result<void> ServiceParts::stop() {
    m_tenants->stop();
    if (m_limiter) {
        m_limiter->stop();
    }
    m_traces->stop();
    return m_ledger->stop();
}

Result<void> ServiceParts::reconfigure(const Config& config) {
    Result<std::shared_ptr<const Equipment>> equipment =
        Equipment::make(config, equipment_parts(), m_factory->equipment());
    if (!equipment) {
        return std::move(equipment).error();
    }
    m_factory->equip(*std::move(equipment));
    m_pipeline->access_log = config.server.access_log;
    m_gate->reconfigure(gate_settings(config.server));
    return m_tenants->reconfigure(std::make_shared<const Config>(config));
}

}  // namespace mt::app
