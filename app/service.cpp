#include "app/service.h"

#include <fmt/core.h>

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "app/backends.h"
#include "app/limits.h"
#include "app/service_parts.h"
#include "app/waiting_reply.h"
#include "app/workspace.h"

namespace mt::app {
namespace {

constexpr std::chrono::milliseconds k_retry{500};

// The scheme of a URL, https instead of http; a unix socket has none.
std::string with_tls(const std::string& url) {
    constexpr std::string_view k_plain = "http:";
    return url.starts_with(k_plain) ? "https:" + url.substr(k_plain.size()) : url;
}

std::optional<http::TlsFiles> tls_files(const ServerConfig& server) {
    return server.tls_cert.empty() ? std::nullopt : std::optional(http::TlsFiles{server.tls_cert, server.tls_key});
}

Error waiting_error() {
    return Error{Code::unavailable,
                 "waiting for PostgreSQL, which is away: the server is ready when it is back",
                 {},
                 std::chrono::seconds{1}};
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

    [[nodiscard]] Ground ground() {
        return {clock, log,       folder,
                files, *backends, [this] { return static_cast<std::int64_t>(server->connections()); }};
    }

    Result<void> open_backends() {
        Result<std::unique_ptr<Backends>> opened = Backends::open(environment, clock, log);
        if (!opened) {
            return std::move(opened).error();
        }
        backends = *std::move(opened);
        Result<void> complete = backends->add_shards(config, environment);
        if (complete) {
            complete = backends->open_limiter(config, environment);
        }
        return complete ? backends->check_storage(config) : complete;
    }

    // What is needed that a missing PostgreSQL alone can keep away.
    [[nodiscard]] bool may_wait_for(const Error& error) const {
        return backends->catalog() != nullptr && (error.code == Code::unavailable || error.code == Code::busy);
    }

    void make_server() {
        http::Hooks hooks{[this](const http::Request& request, http::Responder& to) { handle(request, to); },
                          api::Api::fault,
                          [this](const Error& error) {
                              if (ServiceParts* there = serving.load()) {
                                  there->api().refused(error);
                              }
                          },
                          api::Api::is_urgent};
        server.emplace(std::move(hooks), server_limits(config.server, descriptors), log);
    }

    void handle(const http::Request& request, http::Responder& to) {
        if (ServiceParts* there = serving.load()) {
            there->api().handle(request, to);
        } else {
            to.send(waiting_reply(request, waiting_error()));
        }
    }

    // Opens the parts and lets them serve. A failure leaves nothing behind.
    Result<void> bring_up(const http::Address& address) {
        const std::lock_guard guard(bringing_up);
        if (!parts) {
            Result<std::unique_ptr<ServiceParts>> opened = ServiceParts::open(ground(), config);
            if (!opened) {
                return std::move(opened).error();
            }
            parts = *std::move(opened);
        }
        if (Result<void> started = parts->start(address, options.allow_open); !started) {
            parts.reset();
            return started;
        }
        serving = parts.get();
        if (draining) {  // told while the parts were opened
            parts->drain();
        }
        return {};
    }

    void wait_for_catalog(const http::Address& address, const std::stop_token& stop) {
        std::mutex waiting;
        std::unique_lock sleep(waiting);
        std::string told;
        while (!wake.wait_for(sleep, stop, k_retry, [&] { return stop.stop_requested(); })) {
            const Result<void> up = bring_up(address);
            if (up) {
                return log.info("PostgreSQL is there: serving");
            }
            if (up.error().detail != std::exchange(told, up.error().detail)) {
                log.warning(fmt::format("waiting for PostgreSQL: {}", up.error().detail));
            }
            if (!may_wait_for(up.error())) {
                log.error(up.error().message);
                const std::lock_guard guard(bringing_up);
                fatal = up.error();
                ::kill(getpid(), SIGTERM);  // the way out is the one that an operator would take
                return;
            }
        }
    }

    Config config;
    ServiceOptions options;
    SystemClock clock;
    Log log;
    DataFolder folder;
    FolderLock lock;
    Descriptors descriptors;
    TenantFiles files;
    std::unique_ptr<Backends> backends;
    std::mutex bringing_up;  // guards config, parts and fatal until the service is up
    std::unique_ptr<ServiceParts> parts;
    std::optional<Error> fatal;
    std::atomic<ServiceParts*> serving{nullptr};  ///< `parts` once they serve
    std::atomic<bool> draining{false};
    std::optional<http::Server> server;
    std::string url;
    std::condition_variable_any wake;
    std::jthread waiter;
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
    if (Result<void> opened = state->open_backends(); !opened) {
        return std::move(opened).error();
    }
    state->make_server();
    Result<std::unique_ptr<ServiceParts>> parts = ServiceParts::open(state->ground(), state->config);
    if (!parts && !state->may_wait_for(parts.error())) {
        return std::move(parts).error();
    }
    if (parts) {
        state->parts = *std::move(parts);
    }
    return std::unique_ptr<Service>(new Service(std::move(state)));
}

Result<http::Address> Service::start() {
    State& state = *m_state;
    Result<http::Address> address = http::parse_address(state.config.server.listen);
    if (!address) {
        return address;
    }
    const Result<void> up = state.bring_up(*address);
    if (!up && !state.may_wait_for(up.error())) {
        return up.error();
    }
    state.backends->start();
    const std::optional<http::TlsFiles> tls = tls_files(state.config.server);
    Result<http::Address> bound = state.server->start(*address, tls);
    if (!bound) {
        return bound;
    }
    state.url = tls ? with_tls(bound->url()) : bound->url();
    if (Result<void> described = state.lock.describe(fmt::format("pid {}, {}", getpid(), state.url)); !described) {
        return std::move(described).error();
    }
    if (!up) {
        state.waiter =
            std::jthread([&state, at = *address](const std::stop_token& stop) { state.wait_for_catalog(at, stop); });
    }
    return bound;
}

const std::string& Service::url() const {
    return m_state->url;
}

void Service::drain() {
    m_state->draining = true;
    if (ServiceParts* there = m_state->serving.load()) {
        there->drain();
    }
}

Result<void> Service::stop() {
    State& state = *m_state;
    state.waiter = {};
    drain();
    state.server->stop(std::chrono::milliseconds{state.config.server.drain_timeout_ms});
    state.backends->stop();
    const Result<void> flushed = state.parts ? state.parts->stop() : Result<void>{};
    const Result<void> settled = state.files.checkpoint_leftovers();
    if (state.fatal) {
        return *state.fatal;
    }
    return flushed ? settled : flushed;
}

Result<void> Service::reconfigure(Config config) {
    State& state = *m_state;
    const std::lock_guard guard(state.bringing_up);
    if (const Result<LogLevel> level = parse_log_level(config.server.log_level)) {
        state.log.set_level(*level);
    }
    Result<void> added = state.backends->add_shards(config, environment);
    if (!added) {
        return added;
    }
    if (ServiceParts* there = state.serving.load()) {
        return there->reconfigure(config);
    }
    state.config = std::move(config);  // the parts are opened with it
    return {};
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
