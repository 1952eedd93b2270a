#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "http/server.h"
#include "sqlite/data_folder.h"

namespace mt::app {

struct ServiceOptions {
    bool allow_open = false;  ///< serve open tenants on an address that others can reach
    LogLevel log_level = LogLevel::info;
};

/// The whole running service, wired: the composition root. Members are in the order in which they need each other, so
/// that they end in the right order too. Used by the thread that starts and stops it.
class Service {
  public:
    /// Takes the data folder, creates missing tenants of the file, loads the catalog. Errors: unavailable (the folder
    /// is in use or cannot be written), config, version_mismatch, storage_full.
    static Result<std::unique_ptr<Service>> open(Config config, const ServiceOptions& options);

    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;
    ~Service();

    /// Starts listening at config.server.listen and returns the bound address. Errors: unavailable, invalid, config (an
    /// open tenant on an address that others can reach, unusable TLS files).
    Result<http::Address> start();

    /// What a client is given once start() is done: "http://127.0.0.1:8080", "https://..." with TLS, "unix:/path".
    [[nodiscard]] const std::string& url() const;

    /// From now on the readiness check answers 503; calls are taken until stop().
    void drain();

    /// Drains, flushes the numbers and ends all threads. Errors: when the last numbers could not be written.
    Result<void> stop();

    /// Takes plans, models, tools and log settings from a file read anew. Errors: config (a model's key is missing: the
    /// old ones then stay in use).
    Result<void> reconfigure(Config config);

    /// Reads certificate and key anew for connections to come. Without TLS nothing happens. Errors: config; the old
    /// ones then stay in use.
    Result<void> reload_tls();

    /// True when the configuration came from a file.
    [[nodiscard]] bool has_file() const;

    [[nodiscard]] Log& log();

  private:
    struct State;
    explicit Service(std::unique_ptr<State> state);
    std::unique_ptr<State> m_state;
};

}  // namespace mt::app
