#include "config/shards.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "base/ids.h"
#include "base/text.h"
#include "config/secrets.h"

namespace mt {
namespace {

std::uint64_t score(std::string_view tenant, std::string_view shard) {
    const Sha256 hash = sha256(fmt::format("{}\n{}", tenant, shard));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof value; ++i) {
        value = value << 8U | hash[i];
    }
    return value;
}

Result<std::string> needed_variable(const std::string& owner, const std::string& name, const Environment& environment) {
    const std::optional<std::string> value = environment ? environment(name) : std::nullopt;
    if (!value || value->empty()) {
        return Error{Code::config, fmt::format("{}: variable {} is not set", owner, name)};
    }
    return *value;
}

Result<ServerAddress> check_kind(ServerAddress address, std::string_view owner, std::string_view kind) {
    if (!address.url.empty() && kind_of_url(address.url) != kind) {
        const std::string_view sample = kind == "redis" ? "redis://host:6379" : "postgres://user@host:5432/database";
        return Error{Code::config, fmt::format("{}: the address is none of {}: write it as {}", owner, kind, sample)};
    }
    return address;
}

}  // namespace

std::string_view kind_of_url(std::string_view url) {
    if (url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return "postgres";
    }
    if (url.starts_with("redis://") || url.starts_with("rediss://") || url.starts_with("unix://")) {
        return "redis";
    }
    return url.empty() || url.find("://") != std::string_view::npos || url.find('=') != std::string_view::npos
               ? ""
               : "redis";
}

bool has_shards(std::string_view storage_type) {
    return storage_type == "redis" || storage_type == "postgres";
}

std::string choose_shard(const Shards& shards, std::string_view storage_type, std::string_view tenant) {
    std::string_view best;
    std::uint64_t highest = 0;
    for (const auto& [name, shard] : shards) {
        const bool taken = shard.kind == storage_type && shard.new_tenants;
        const std::uint64_t own = taken ? score(tenant, name) : 0;
        if (taken && (best.empty() || own > highest)) {
            best = name;
            highest = own;
        }
    }
    return std::string(best);
}

Result<ServerAddress> read_server_address(std::string_view kind, const Environment& environment) {
    const std::string prefix = kind == "redis" ? "REDIS" : "POSTGRES";
    const auto variable = [&](const char* suffix) {
        return (environment ? environment(prefix + suffix) : std::nullopt).value_or("");
    };
    ServerAddress address{variable("_URL"), variable("_PASSWORD")};
    if (const std::string file = variable("_PASSWORD_FILE"); !file.empty() && !address.url.empty()) {
        Result<std::string> password = read_secret_file(file);
        if (!password) {
            return Error{Code::config, fmt::format("{}_PASSWORD_FILE: {}", prefix, password.error().message)};
        }
        address.password = *std::move(password);
    }
    return check_kind(std::move(address), prefix + "_URL", kind);
}

Result<ServerAddress> read_shard_address(const ShardConfig& shard, const Environment& environment) {
    const std::string owner = fmt::format("[shards.{}]", shard.name);
    ServerAddress address{shard.url, {}};
    if (!shard.url_env.empty()) {
        Result<std::string> url = needed_variable(owner, shard.url_env, environment);
        if (!url) {
            return std::move(url).error();
        }
        address.url = *std::move(url);
    }
    if (!shard.password_env.empty()) {
        Result<std::string> password = needed_variable(owner, shard.password_env, environment);
        if (!password) {
            return std::move(password).error();
        }
        address.password = *std::move(password);
    }
    if (!shard.password_file.empty()) {
        Result<std::string> password = read_secret_file(shard.password_file);
        if (!password) {
            return Error{Code::config, fmt::format("{}: {}", owner, password.error().message)};
        }
        address.password = *std::move(password);
    }
    const std::string_view kind = kind_of_url(address.url);
    return check_kind(std::move(address), owner, kind.empty() ? "redis" : kind);
}

}  // namespace mt
