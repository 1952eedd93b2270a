#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/command.h"
#include "app/notify.h"
#include "app/service.h"
#include "app/signals.h"
#include "base/text.h"
#include "base/units.h"
#include "config/secrets.h"

namespace mt::app {
namespace {

struct Flags {
    std::string listen;
    std::string port_file;
    std::string log_level;
    std::string tls_cert;
    std::string tls_key;
    std::string drain_delay;
    std::string drain_timeout;
    bool allow_open = false;
    bool no_access_log = false;
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

// A flag that was not given changes nothing.
Result<void> override_duration(const char* flag, const std::string& text, std::int64_t& target_ms) {
    if (text.empty()) {
        return {};
    }
    Result<std::chrono::milliseconds> duration = parse_duration(text);
    if (!duration) {
        return Error{Code::invalid, fmt::format("{}: {}", flag, duration.error().message)};
    }
    target_ms = duration->count();
    return {};
}

// Certificate and key belong together, so they come from the same place: both from flags, or both from the file.
Result<void> override_tls(const Flags& flags, ServerConfig& server) {
    if (flags.tls_cert.empty() != flags.tls_key.empty()) {
        const bool cert = flags.tls_key.empty();
        return Error{Code::invalid, fmt::format("--tls-{} needs --tls-{} beside it: name the certificate and its key, "
                                                "both as PEM files",
                                                cert ? "cert" : "key", cert ? "key" : "cert")};
    }
    if (!flags.tls_cert.empty()) {
        server.tls_cert = flags.tls_cert;
        server.tls_key = flags.tls_key;
    }
    return {};
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
    Result<void> taken = override_tls(flags, config->server);
    if (taken) {
        taken = override_duration("--drain-delay", flags.drain_delay, config->server.drain_delay_ms);
    }
    if (taken) {
        taken = override_duration("--drain-timeout", flags.drain_timeout, config->server.drain_timeout_ms);
    }
    if (!taken) {
        return std::move(taken).error();
    }
    // Both seen before the data folder is touched.
    if (const std::vector<std::string> missing = missing_secrets(*config, environment); !missing.empty()) {
        return Error{Code::config, join(missing, "\n")};
    }
    Result<http::Address> address = http::parse_address(config->server.listen);
    return address ? std::move(config) : Result<Config>(std::move(address).error());
}

void reload_config(Service& service, const Console& console, const Flags& flags) {
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

// A file with a fault keeps no new certificate out, nor the other way round.
void reload(Service& service, const Console& console, const Flags& flags) {
    reload_config(service, console, flags);
    if (Result<void> reloaded = service.reload_tls(); !reloaded) {
        service.log().error(fmt::format("certificate and key stay as they were: {}", reloaded.error().message));
    }
}

// Serves until a signal asks for the end. Whoever routes calls here sees that in /readyz, and has `delay` to act on it
// while calls are still taken.
Result<void> run_until_told(Service& service, const Signals& signals, std::chrono::milliseconds delay,
                            const std::function<void()>& on_reload) {
    const std::string listening = fmt::format("listening on {}", service.url());
    Notifier manager(environment("NOTIFY_SOCKET"), service.log());
    manager.ready(listening);
    while (signals.wait() == SIGHUP) {
        manager.reloading("reading configuration and certificates anew");
        on_reload();
        manager.ready(listening);
    }
    service.drain();
    signals.let_end();
    service.log().info("shutting down");
    if (delay.count() > 0) {
        manager.stopping(fmt::format("not ready any more, still accepting for {}", format_duration(delay)));
        signals.pause(delay);
        manager.status("finishing the calls in flight");
    } else {
        manager.stopping("finishing the calls in flight");
    }
    return service.stop();
}

Result<void> serve(const Console& console, const Flags& flags) {
    const Signals signals;
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
    const std::chrono::milliseconds delay{config->server.drain_delay_ms};
    Result<std::unique_ptr<Service>> service = Service::open(*std::move(config), options);
    if (!service) {
        return std::move(service).error();
    }
    Result<http::Address> address = (*service)->start();
    if (!address) {
        return std::move(address).error();
    }
    (*service)->log().info(fmt::format("listening on {}", (*service)->url()));
    if (!flags.port_file.empty()) {
        if (Result<void> written = write_port(flags.port_file, address->port); !written) {
            return written;
        }
    }
    return run_until_told(**service, signals, delay, [&] { reload(**service, console, flags); });
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
    app.add_option("--log-level", flags->log_level, "debug, info, warning, error, off; default info")
        ->type_name("LEVEL");
    app.add_option("--tls-cert", flags->tls_cert, "serve over TLS: certificate with its chain, PEM")
        ->type_name("FILE")
        ->check(not_empty());
    app.add_option("--tls-key", flags->tls_key, "private key of the certificate, PEM")
        ->type_name("FILE")
        ->check(not_empty());
    app.add_option("--drain-delay", flags->drain_delay, "time to be taken out of rotation at the end, default 0s")
        ->type_name("DURATION")
        ->check(not_empty());
    app.add_option("--drain-timeout", flags->drain_timeout, "time for calls in flight at the end, default 25s")
        ->type_name("DURATION");
    app.add_flag("--no-access-log", flags->no_access_log, "no log line per call");
    app.add_flag("--allow-open", flags->allow_open, "serve tenants without keys on any address");
    app.footer(
        "Environment: MTAGENT_CONFIG, MTAGENT_DATA, MTAGENT_LISTEN; MTAGENT_OPERATOR_TOKEN, MTAGENT_SECRET_KEY_FILE;\n"
        "REDIS_URL, REDIS_PASSWORD, POSTGRES_URL, POSTGRES_PASSWORD: many replicas; OPENAI_API_KEY, OPENAI_BASE_URL,\n"
        "OPENAI_MODEL: a language model; OTEL_EXPORTER_OTLP_ENDPOINT: traces. Token and passwords also from files:\n"
        "MTAGENT_OPERATOR_TOKEN_FILE, REDIS_PASSWORD_FILE, POSTGRES_PASSWORD_FILE. See mtagent(1), ENVIRONMENT.\n\n" +
        app.get_footer());
    return [flags](Console& console) { return serve(console, *flags); };
}

}  // namespace mt::app
