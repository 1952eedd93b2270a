#include "app/service.h"

#include <fmt/core.h>

#include <unistd.h>

#include <optional>
#include <utility>

#include "app/limits.h"
#include "app/trace_sender.h"
#include "app/workspace.h"
#include "base/text.h"
#include "stats/slot_file.h"
#include "tenant/equipment.h"
#include "tenant/factory.h"
#include "tenant/manager.h"
#include "tenant/stats_reader.h"
#include "trace/exporter.h"

namespace mt::app {
namespace {

constexpr std::size_t k_shortest_token = 16;

// The scheme of a URL, https instead of http; a unix socket has none.
std::string with_tls(const std::string& url) {
    constexpr std::string_view k_plain = "http:";
    return url.starts_with(k_plain) ? "https:" + url.substr(k_plain.size()) : url;
}

// Opens the slot file, and finds its place among those that have ever counted here.
Result<std::unique_ptr<SlotFile>> open_slots(const std::filesystem::path& path, Catalog& catalog, const Clock& clock,
                                             Log& log) {
    Result<std::unique_ptr<SlotFile>> slots = SlotFile::open(path, clock);
    if (!slots) {
        return slots;
    }
    if ((*slots)->was_set_aside()) {
        log.error(fmt::format("{} was damaged and is set aside: counts since the last flush are lost", path.string()));
    }
    Result<LedgerWriter> place = catalog.note_writer((*slots)->writer());
    if (place && !place->latest) {  // an old copy was put back
        slots->reset();
        if (Result<void> moved = SlotFile::set_aside(path, "stale"); !moved) {
            return std::move(moved).error();
        }
        log.error(fmt::format("{} is older than the numbers of this folder and is set aside", path.string()));
        slots = SlotFile::open(path, clock);
        if (slots) {
            place = catalog.note_writer((*slots)->writer());
        }
    }
    if (!slots || !place) {
        return slots ? std::move(place).error() : std::move(slots).error();
    }
    (*slots)->set_complete_since(place->since);
    return slots;
}

// The one that is named in the environment, else the folder's own.
Result<std::string> operator_token(const DataFolder& folder) {
    std::string named = environment("MTAGENT_OPERATOR_TOKEN").value_or("");
    if (!named.empty() && named.size() < k_shortest_token) {
        return Error{Code::config, fmt::format("MTAGENT_OPERATOR_TOKEN has {} characters: use {} or more", named.size(),
                                               k_shortest_token)};
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

std::optional<http::TlsFiles> tls_files(const ServerConfig& server) {
    return server.tls_cert.empty() ? std::nullopt : std::optional(http::TlsFiles{server.tls_cert, server.tls_key});
}

}  // namespace

struct Service::State {
    State(Config the_config, DataFolder data_folder, FolderLock folder_lock, const ServiceOptions& the_options)
        : config(std::move(the_config)),
          options(the_options),
          log(the_options.log_level),
          folder(std::move(data_folder)),
          lock(std::move(folder_lock)),
          descriptors(share_descriptors()),
          files(folder.tenants(), {descriptors.tenant_files, true}) {}

    [[nodiscard]] EquipmentParts equipment_parts() {
        return {environment, [this] { return folder.secret_box(environment("MTAGENT_SECRET_KEY_FILE")); }, clock, log};
    }

    // Opens what lies in the folder, in the order in which the parts need each other.
    Result<void> open_parts() {
        Result<std::unique_ptr<TraceExporter>> exporter = open_traces(clock, log);
        if (!exporter) {
            return std::move(exporter).error();
        }
        traces = *std::move(exporter);
        Result<std::unique_ptr<Catalog>> registry = open_sqlite_catalog(folder, files, clock, {});
        if (!registry) {
            return std::move(registry).error();
        }
        catalog = *std::move(registry);
        Result<std::unique_ptr<SlotFile>> counters = open_slots(folder.slots(), *catalog, clock, log);
        if (!counters) {
            return std::move(counters).error();
        }
        slots = *std::move(counters);
        Result<std::vector<std::string>> seeded = seed_tenants(*catalog, config, system_user());
        if (!seeded) {
            return std::move(seeded).error();
        }
        for (const std::string& line : *seeded) {
            log.info(line);
        }
        Result<std::shared_ptr<const Equipment>> made = Equipment::make(config, equipment_parts());
        if (!made) {
            return std::move(made).error();
        }
        equipment = *std::move(made);
        return {};
    }

    // Wires what needs files that could not be opened in the constructor.
    void wire() {
        ledger.emplace(*slots, files, clock, log, static_cast<std::size_t>(config.server.metrics_tenants));
        gate.emplace(gate_settings(config.server), clock);
        factory.emplace(TenantParts{*ledger, files, *gate, clock, log, most_followers(config.server)}, equipment);
        tenants.emplace(*catalog, *factory, *ledger, std::make_shared<const Config>(config), log);
        stats.emplace(*catalog, files, slots.get(), &*tenants);
        // NOLINTNEXTLINE(modernize-make-unique): an aggregate
        pipeline.reset(new PipelineServices{*tenants, clock, log});
        pipeline->access_log = config.server.access_log;
        pipeline->tracer = traces.get();
        // NOLINTNEXTLINE(modernize-make-unique): an aggregate
        services.reset(new api::Services{*pipeline, *catalog, *tenants, files, *stats, *ledger, clock, log});
        services->version = MTAGENT_VERSION;
        services->request_timeout_ms = config.server.request_timeout_ms;
        services->started_ns = clock.boot_ns();
        services->secret_box = [this] { return folder.secret_box(environment("MTAGENT_SECRET_KEY_FILE")); };
        api.emplace(*services);
        server.emplace(
            http::Hooks{[this](const http::Request& request, http::Responder& to) { api->handle(request, to); },
                        api::Api::fault, [this](const Error& error) { api->refused(error); }, api::Api::is_urgent},
            server_limits(config.server, descriptors), log);
        services->gate = &*gate;
        services->traces = [this] { return traces->counts(); };
        services->upstreams = [this] { return factory->equipment()->samples(); };
        services->connections = [this] { return static_cast<std::int64_t>(server->connections()); };
    }

    Config config;
    ServiceOptions options;
    SystemClock clock;
    Log log;
    DataFolder folder;
    FolderLock lock;
    Descriptors descriptors;
    TenantFiles files;
    std::shared_ptr<const Equipment> equipment;  ///< as at the start; the factory has the present one
    std::unique_ptr<SlotFile> slots;
    std::unique_ptr<Catalog> catalog;
    std::unique_ptr<TraceExporter> traces;
    std::optional<Ledger> ledger;
    std::optional<FairGate> gate;
    std::optional<TenantFactory> factory;
    std::optional<TenantManager> tenants;
    std::optional<StatsReader> stats;
    std::unique_ptr<PipelineServices> pipeline;
    std::unique_ptr<api::Services> services;
    std::optional<api::Api> api;
    std::optional<http::Server> server;
    std::string url;
};

Service::Service(std::unique_ptr<State> state) : m_state(std::move(state)) {}

Service::~Service() = default;

Result<std::unique_ptr<Service>> Service::open(Config config, const ServiceOptions& options) {
    // A port in use is seen before anything is made.
    Result<http::Address> address = http::parse_address(config.server.listen);
    Result<void> available = address ? http::check_available(*address) : Result<void>{address.error()};
    if (!available) {
        return std::move(available).error();
    }
    Result<DataFolder> folder = DataFolder::open(config.data, true);
    if (!folder) {
        return std::move(folder).error();
    }
    Result<FolderLock> lock = folder->lock();
    if (!lock) {
        return std::move(lock).error();
    }
    // A key that is named by hand must be there; the folder's own is made when it is needed.
    if (const auto named = environment("MTAGENT_SECRET_KEY_FILE"); named && !named->empty()) {
        if (Result<SecretBox> box = folder->secret_box(named); !box) {
            return std::move(box).error();
        }
    }
    auto state = std::make_unique<State>(std::move(config), *std::move(folder), *std::move(lock), options);
    if (Result<void> opened = state->open_parts(); !opened) {
        return std::move(opened).error();
    }
    state->wire();
    Result<std::string> token = operator_token(state->folder);
    if (!token) {
        return std::move(token).error();
    }
    state->services->operator_token = *std::move(token);
    return std::unique_ptr<Service>(new Service(std::move(state)));
}

Result<http::Address> Service::start() {
    State& state = *m_state;
    Result<http::Address> address = http::parse_address(state.config.server.listen);
    if (!address) {
        return std::move(address).error();
    }
    Result<std::vector<std::string>> open = state.catalog->open_tenants(10);
    if (!open) {
        return std::move(open).error();
    }
    state.services->loopback = address->is_loopback();
    const bool open_allowed = address->is_loopback() || state.options.allow_open;
    state.factory->set_open_allowed(open_allowed);
    if (!open_allowed && !open->empty()) {
        return Error{Code::config, fmt::format("{} can be reached by others, and these tenants need no key: {}. Give "
                                               "them auth=key, listen on 127.0.0.1, or say --allow-open",
                                               address->to_string(), join(*open, ", "))};
    }
    if (Result<void> started = state.tenants->start(); !started) {
        return std::move(started).error();
    }
    state.ledger->start();
    const std::optional<http::TlsFiles> tls = tls_files(state.config.server);
    Result<http::Address> bound = state.server->start(*address, tls);
    if (bound) {
        state.url = tls ? with_tls(bound->url()) : bound->url();
        Result<void> described = state.lock.describe(fmt::format("pid {}, {}", getpid(), state.url));
        if (!described) {
            return std::move(described).error();
        }
    }
    return bound;
}

const std::string& Service::url() const {
    return m_state->url;
}

void Service::drain() {
    m_state->services->draining = true;
}

Result<void> Service::stop() {
    drain();
    State& state = *m_state;
    state.server->stop(std::chrono::milliseconds{state.config.server.drain_timeout_ms});
    state.tenants->stop();
    state.traces->stop();
    const Result<void> flushed = state.ledger->stop();
    const Result<void> settled = state.files.checkpoint_leftovers();
    return flushed ? settled : flushed;
}

Result<void> Service::reconfigure(Config config) {
    State& state = *m_state;
    Result<std::shared_ptr<const Equipment>> equipment =
        Equipment::make(config, state.equipment_parts(), state.factory->equipment());
    if (!equipment) {
        return std::move(equipment).error();
    }
    state.factory->equip(*std::move(equipment));
    const Result<LogLevel> level = parse_log_level(config.server.log_level);
    if (level) {
        state.log.set_level(*level);
    }
    state.pipeline->access_log = config.server.access_log;
    state.gate->reconfigure(gate_settings(config.server));
    return state.tenants->reconfigure(std::make_shared<const Config>(std::move(config)));
}

Result<void> Service::reload_tls() {
    return m_state->server->reload_tls();
}

bool Service::has_file() const {
    return !m_state->config.file.empty();
}

Log& Service::log() {
    return m_state->log;
}

}  // namespace mt::app
