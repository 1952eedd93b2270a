#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/environment.h"
#include "config/fields.h"
#include "config/model_config.h"
#include "config/shards.h"
#include "config/tenant_config.h"

namespace mt {

/// [server] of tenants.toml.
struct ServerConfig {
    std::string listen = "127.0.0.1:8080";
    std::string data;  ///< folder; default ./data
    std::string log_level = "info";
    bool access_log = true;
    std::int64_t workers = 0;                         ///< 0: as many as usable processors
    std::int64_t max_head = 32LL * 1024;              ///< bytes
    std::int64_t max_fields = 100;                    ///< header fields
    std::int64_t max_uri = 8LL * 1024;                ///< bytes
    std::int64_t max_body = 1024LL * 1024;            ///< bytes
    std::int64_t max_buffered = 256LL * 1024 * 1024;  ///< bytes of unanswered requests over all connections
    std::int64_t max_stream_buffer = 256LL * 1024;    ///< bytes of a stream that its client has not read yet
    std::int64_t max_blocking = 2048;                 ///< calls that wait for something at the same time
    std::int64_t max_in_flight = 4096;                ///< complete requests without a reply
    std::int64_t max_concurrency = 0;                 ///< agent slots; 0: half of max_blocking
    std::int64_t queue_timeout_ms = 10'000;           ///< longest wait for an agent slot
    std::int64_t metrics_tenants = 1000;              ///< tenants with time series of their own
    std::int64_t max_connections = 1'000'000;         ///< fewer where the system allows fewer descriptors
    std::int64_t max_connections_per_peer = 1024;     ///< of one address; not for loopback and trusted proxies
    std::vector<std::string> trusted_proxies;         ///< networks whose forwarding fields are believed
    std::vector<std::string> private_upstreams;       ///< networks that tenants' models and HTTP tools may reach
    std::string tls_cert;                             ///< PEM file with the chain; empty: no TLS
    std::string tls_key;                              ///< PEM file; there exactly when tls_cert is
    std::int64_t head_timeout_ms = 10'000;
    std::int64_t body_timeout_ms = 30'000;
    std::int64_t idle_timeout_ms = 60'000;
    std::int64_t write_timeout_ms = 30'000;  ///< for a client that reads nothing
    std::int64_t drain_delay_ms = 0;         ///< from "not ready any more" to the end of accepting
    std::int64_t drain_timeout_ms = 25'000;
    std::int64_t request_timeout_ms = 600'000;   ///< for one call of an agent
    std::string limiter;                         ///< local | redis; empty: redis where REDIS_URL is set
    std::string limiter_outage = "local-share";  ///< local-share | open | closed: while that Redis is away
};

/// A tenant as the file declares it.
struct TenantSpec {
    std::string id;
    Settings own;
};

/// Everything configured, immutable after loading.
struct Config {
    std::filesystem::path file;  ///< empty: no file was found, defaults serve
    std::filesystem::path data;
    ServerConfig server;
    std::map<std::string, Settings, std::less<>> plans;
    std::map<std::string, ModelConfig, std::less<>> models;  ///< by name; "builtin" is always there
    std::map<std::string, ToolConfig, std::less<>> tools;    ///< [tools.NAME]; the built-in ones are not here
    Shards shards;                                           ///< by name
    bool shared = false;                         ///< POSTGRES_URL is set: other servers serve the same tenants
    std::string default_model{k_builtin_model};  ///< of tenants that set none, nor their plan
    std::vector<TenantSpec> tenants;

    [[nodiscard]] std::vector<std::string_view> model_names() const;
    /// The built-in tools, then those of the file.
    [[nodiscard]] std::vector<std::string_view> tool_names() const;

    /// The complete settings of a tenant. An unknown plan counts as one without settings.
    [[nodiscard]] TenantConfig resolve(std::string_view id, const Settings& own) const;

    /// All rules for a tenant's own settings that cross fields or name plans, models and tools. `own_models`: names of
    /// the tenant's own models, which count when it has the feature custom-models. Errors: invalid.
    [[nodiscard]] Result<void> check(std::string_view id, const Settings& own,
                                     std::span<const std::string> own_models = {}) const;

    /// A new tenant's own settings with the shard that it is to live on, where its storage has shards and they name
    /// none.
    [[nodiscard]] Settings placed(std::string_view id, Settings own) const;
    /// Changes to a tenant with `own` settings, with the change of its shard when they change its kind of storage: data
    /// does not follow, and a shard of the former kind is of no use.
    [[nodiscard]] std::map<std::string, std::optional<Value>, std::less<>> placed(
        std::string_view id, const Settings& own,
        std::map<std::string, std::optional<Value>, std::less<>> changes) const;
};

/// What overrides the file, strongest first: flags, then the environment.
struct ConfigSources {
    std::optional<std::string> config_flag{};
    std::optional<std::string> data_flag{};
    std::optional<std::string> listen_flag{};
    Environment environment{};
};

/// Finds and reads tenants.toml: flag, MTAGENT_CONFIG, ./tenants.toml, the user's config folder, /etc/mtagent; a named
/// file must exist. Errors: config, one line per fault as file:line: message; nothing is taken from a file with a
/// fault.
Result<Config> load_config(const ConfigSources& sources);

/// Reads configuration from text; `file` is for messages. With OPENAI_API_KEY or OPENAI_BASE_URL in the environment the
/// model `openai` exists and is everybody's default. The inner half of load_config, for tests and `apply`.
Result<Config> parse_config(std::string_view toml, const std::filesystem::path& file,
                            const Environment& environment = {});

}  // namespace mt
