#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/environment.h"

namespace mt {

/// [shards.NAME]: one of several Redis or PostgreSQL servers for tenants' data. Its address is configured, its password
/// never: that comes from a variable or a file.
struct ShardConfig {
    std::string name;
    std::string url{};            ///< redis://... or postgres://..., without a password
    std::string url_env{};        ///< or the variable that holds it, which may have one
    std::string password_env{};   ///< variable that holds the password, or
    std::string password_file{};  ///< file whose first line it is
    bool new_tenants = true;      ///< false: those that are there stay, no further ones come
    std::string kind{};           ///< "redis" or "postgres"; "" while the variable is not set

    friend bool operator==(const ShardConfig&, const ShardConfig&) = default;
};

using Shards = std::map<std::string, ShardConfig, std::less<>>;

/// "redis" or "postgres" as an address says it; a word without a scheme, such as "redis:6379", is a Redis. "" for
/// others.
std::string_view kind_of_url(std::string_view url);

/// Whether a storage type keeps its data on servers that there may be several of.
bool has_shards(std::string_view storage_type);

/// The shard of a new tenant among those of its storage type that take new ones: the one with the highest score of
/// (tenant, shard), so that another shard takes its share of the new tenants from all (rendezvous hashing, Thaler and
/// Ravishankar 1998; scores are the first 8 bytes of SHA-256). "" when there is none.
std::string choose_shard(const Shards& shards, std::string_view storage_type, std::string_view tenant);

/// Address and password of a server, ready to be used. Never printed.
struct ServerAddress {
    std::string url;
    std::string password;  ///< empty: what the url says
};

/// Of REDIS_URL with REDIS_PASSWORD_FILE or REDIS_PASSWORD, or the same with POSTGRES; an empty url where the variable
/// is not set. Errors: config (the file cannot be read, the url is none).
Result<ServerAddress> read_server_address(std::string_view kind, const Environment& environment);

/// Of a shard. Errors: config, naming the variable or file.
Result<ServerAddress> read_shard_address(const ShardConfig& shard, const Environment& environment);

}  // namespace mt
