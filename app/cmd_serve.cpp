#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>

#include "app/command.h"
#include "app/service.h"
#include "base/units.h"

namespace mt::app {
namespace {

struct Flags {
    std::string listen;
    std::string port_file;
    std::string log_level;
    std::string drain_timeout;
    bool allow_open = false;
    bool no_access_log = false;
};

// The signals that end or reload the service. Blocked in every thread, taken by wait() in the main one.
class Signals {
  public:
    Signals() {
        std::signal(SIGPIPE, SIG_IGN);  // a log reader that goes away must not end the service
        sigemptyset(&m_set);
        for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
            sigaddset(&m_set, number);
        }
        pthread_sigmask(SIG_BLOCK, &m_set, nullptr);
    }
    int wait() {
        int number = 0;
        sigwait(&m_set, &number);
        return number;
    }
    // From now on a second signal ends the program at once.
    void release() { pthread_sigmask(SIG_UNBLOCK, &m_set, nullptr); }

  private:
    sigset_t m_set{};
};

// Written under another name first, so that a waiting script never reads half a number.
Result<void> write_port(const std::string& file, int port) {
    const std::filesystem::path fresh = file + ".new";
    std::error_code fault;
    bool written = false;
    {
        std::ofstream out(fresh);
        written = static_cast<bool>(out << port << '\n');
    }
    std::filesystem::rename(fresh, file, fault);
    return written && !fault ? Result<void>{}
                             : Result<void>{Error{Code::failed, fmt::format("cannot write the port to {}", file)}};
}

Result<Config> configure(const Console& console, const Flags& flags) {
    Result<Config> config = console.load(flags.listen);
    if (!config) {
        return config;
    }
    if (!flags.log_level.empty()) {
        config->server.log_level = flags.log_level;
    }
    if (console.globals().quiet) {
        config->server.log_level = "error";
    }
    if (flags.no_access_log) {
        config->server.access_log = false;
    }
    if (!flags.drain_timeout.empty()) {
        Result<std::chrono::milliseconds> drain = parse_duration(flags.drain_timeout);
        if (!drain) {
            return Error{Code::invalid, "--drain-timeout: " + drain.error().message};
        }
        config->server.drain_timeout_ms = drain->count();
    }
    // Seen before the data folder is touched.
    Result<http::Address> address = http::parse_address(config->server.listen);
    return address ? std::move(config) : Result<Config>(std::move(address).error());
}

void reload(Service& service, const Console& console, const Flags& flags) {
    Result<Config> config = configure(console, flags);
    if (!config) {
        return service.log().error(fmt::format("configuration stays as it was: {}", config.error().message));
    }
    if (config->file.empty() && service.has_file()) {
        return service.log().error("configuration stays as it was: the file it came from is gone");
    }
    if (Result<void> applied = service.reconfigure(*std::move(config)); !applied) {
        return service.log().error(fmt::format("configuration is read anew, but {}", applied.error().message));
    }
    service.log().info("configuration is read anew");
}

Result<void> serve(const Console& console, const Flags& flags) {
    Signals signals;
    Result<Config> config = configure(console, flags);
    if (!config) {
        return std::move(config).error();
    }
    ServiceOptions options;
    options.allow_open = flags.allow_open;
    Result<LogLevel> level = parse_log_level(config->server.log_level);
    if (!level) {
        return std::move(level).error();
    }
    options.log_level = *level;
    Result<std::unique_ptr<Service>> service = Service::open(*std::move(config), options);
    if (!service) {
        return std::move(service).error();
    }
    Result<http::Address> address = (*service)->start();
    if (!address) {
        return std::move(address).error();
    }
    (*service)->log().info(fmt::format("listening on {}", address->url()));
    if (!flags.port_file.empty()) {
        if (Result<void> written = write_port(flags.port_file, address->port); !written) {
            return written;
        }
    }
    while (signals.wait() == SIGHUP) {
        reload(**service, console, flags);
    }
    (*service)->log().info("shutting down");
    signals.release();
    return (*service)->stop();
}

}  // namespace

Run declare_serve(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    app.add_option("--listen", flags->listen, "address, default 127.0.0.1:8080; port 0: any free one")
        ->type_name("HOST:PORT")
        ->check(not_empty());
    app.add_option("--port-file", flags->port_file, "write the port here once listening")
        ->type_name("FILE")
        ->check(not_empty());
    app.add_option("--log-level", flags->log_level, "debug, info, warning, error, off")->type_name("LEVEL");
    app.add_option("--drain-timeout", flags->drain_timeout, "time for calls in flight at the end, default 25s")
        ->type_name("DURATION");
    app.add_flag("--no-access-log", flags->no_access_log, "no log line per call");
    app.add_flag("--allow-open", flags->allow_open, "serve tenants without keys on any address");
    return [flags](Console& console) { return serve(console, *flags); };
}

}  // namespace mt::app
