#include "app/service.h"

#include <fmt/core.h>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include <optional>
#include <utility>

#include "app/workspace.h"
#include "base/text.h"
#include "stats/slot_file.h"
#include "tenant/factory.h"
#include "tenant/manager.h"
#include "tenant/stats_reader.h"

namespace mt::app {
namespace {

constexpr std::size_t k_most_open_files = 128;  // tenants' files, three descriptors each
constexpr std::size_t k_other_files = 64;       // registry, slots, epoll, log, ...

// How the descriptors of the process are shared out.
struct Descriptors {
    std::size_t tenant_files;
    std::size_t connections;
};

// Takes as many as the system allows, and gives a quarter to the tenants' files at most.
Descriptors share_descriptors() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    const auto all = static_cast<std::size_t>(limit.rlim_cur);
    const std::size_t usable = all > 2 * k_other_files ? all - k_other_files : all / 2;
    const std::size_t files = std::clamp<std::size_t>(usable / 12, 2, k_most_open_files);
    return {files, std::max<std::size_t>(usable - std::min(usable, 3 * files), 16)};
}
constexpr std::size_t k_shortest_token = 16;

http::ServerLimits server_limits(const ServerConfig& server) {
    http::ServerLimits limits;
    limits.max_head = static_cast<std::size_t>(server.max_head);
    limits.max_body = static_cast<std::size_t>(server.max_body);
    limits.head_timeout = std::chrono::milliseconds{server.head_timeout_ms};
    limits.body_timeout = std::chrono::milliseconds{server.body_timeout_ms};
    limits.idle_timeout = std::chrono::milliseconds{server.idle_timeout_ms};
    limits.workers = static_cast<int>(server.workers);
    return limits;
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
          files(folder.tenants(), {descriptors.tenant_files, true}),
          tools(ToolBox::builtin()) {}

    // Wires what needs files that could not be opened in the constructor.
    void wire() {
        ledger.emplace(*slots, files, clock, log);
        factory.emplace(*ledger, files, tools, clock, log);
        tenants.emplace(*catalog, *factory, *ledger, std::make_shared<const Config>(config), log);
        stats.emplace(*catalog, files, slots.get(), &*tenants);
        // NOLINTNEXTLINE(modernize-make-unique): an aggregate
        pipeline.reset(new PipelineServices{*tenants, clock, log});
        pipeline->access_log = config.server.access_log;
        // NOLINTNEXTLINE(modernize-make-unique): an aggregate
        services.reset(new api::Services{*pipeline, *catalog, *tenants, files, *stats, *ledger, clock, log});
        services->version = MTAGENT_VERSION;
        services->request_timeout_ms = config.server.request_timeout_ms;
        services->started_ns = clock.boot_ns();
        api.emplace(*services);
        http::ServerLimits limits = server_limits(config.server);
        limits.max_connections = descriptors.connections;
        server.emplace(
            http::Hooks{[this](const http::Request& request, http::Responder& to) { api->handle(request, to); },
                        [this](const Error& error) { return api->fault(error); }},
            limits, log);
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
    ToolBox tools;
    std::unique_ptr<SlotFile> slots;
    std::unique_ptr<Catalog> catalog;
    std::optional<Ledger> ledger;
    std::optional<TenantFactory> factory;
    std::optional<TenantManager> tenants;
    std::optional<StatsReader> stats;
    std::unique_ptr<PipelineServices> pipeline;
    std::unique_ptr<api::Services> services;
    std::optional<api::Api> api;
    std::optional<http::Server> server;
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
    auto state = std::make_unique<State>(std::move(config), *std::move(folder), *std::move(lock), options);
    Result<std::unique_ptr<SlotFile>> slots = SlotFile::open(state->folder.slots(), state->clock);
    if (!slots) {
        return std::move(slots).error();
    }
    if ((*slots)->set_aside()) {
        state->log.error(fmt::format("{} was damaged and is set aside: counts since the last flush are lost",
                                     state->folder.slots().string()));
    }
    state->slots = *std::move(slots);
    Result<std::unique_ptr<Catalog>> catalog = open_sqlite_catalog(state->folder, state->files, state->clock, {});
    if (!catalog) {
        return std::move(catalog).error();
    }
    state->catalog = *std::move(catalog);
    Result<std::vector<std::string>> seeded = seed_tenants(*state->catalog, state->config, system_user());
    if (!seeded) {
        return std::move(seeded).error();
    }
    for (const std::string& line : *seeded) {
        state->log.info(line);
    }
    state->wire();
    Result<std::string> token = state->folder.operator_token();
    if (!token) {
        return std::move(token).error();
    }
    const std::string named = environment("MTAGENT_OPERATOR_TOKEN").value_or("");
    if (!named.empty() && named.size() < k_shortest_token) {
        return Error{Code::config, fmt::format("MTAGENT_OPERATOR_TOKEN has {} characters: use {} or more", named.size(),
                                               k_shortest_token)};
    }
    state->services->operator_token = named.empty() ? *token : named;
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
    Result<http::Address> bound = state.server->start(*address);
    if (bound) {
        Result<void> described = state.lock.describe(fmt::format("pid {}, {}", getpid(), bound->url()));
        if (!described) {
            return std::move(described).error();
        }
    }
    return bound;
}

Result<void> Service::stop() {
    State& state = *m_state;
    state.services->draining = true;
    state.server->stop(std::chrono::milliseconds{state.config.server.drain_timeout_ms});
    state.tenants->stop();
    const Result<void> flushed = state.ledger->stop();
    const Result<void> settled = state.files.checkpoint_leftovers();
    return flushed ? settled : flushed;
}

Result<void> Service::reconfigure(Config config) {
    State& state = *m_state;
    const Result<LogLevel> level = parse_log_level(config.server.log_level);
    if (level) {
        state.log.set_level(*level);
    }
    state.pipeline->access_log = config.server.access_log;
    return state.tenants->reconfigure(std::make_shared<const Config>(std::move(config)));
}

bool Service::has_file() const {
    return !m_state->config.file.empty();
}

Log& Service::log() {
    return m_state->log;
}

}  // namespace mt::app
