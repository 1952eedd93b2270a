#include <fmt/core.h>

#include "base/text.h"
#include "config/toml_section.h"

namespace mt {
namespace {

using S = ShardConfig;
using ShardField = SectionField<ShardConfig>;

const std::array k_shard_fields{
    ShardField{{"url", FieldKind::text, 1, 2048, {}, nullptr, "address"}, &S::url},
    ShardField{{"url_env", FieldKind::text, 1, 256, {}, nullptr, "variable"}, &S::url_env},
    ShardField{{"password_env", FieldKind::text, 1, 256, {}, nullptr, "variable"}, &S::password_env},
    ShardField{{"password_file", FieldKind::text, 1, 4096, {}, nullptr, "file"}, &S::password_file},
    ShardField{{"new_tenants", FieldKind::boolean, 0, 1, {}, nullptr, "takes new tenants"}, &S::new_tenants},
};

// "redis://user:secret@host": what stands between the first ':' after the scheme and the last '@' before the path.
bool has_password(std::string_view url) {
    const std::size_t scheme = url.find("://");
    std::string_view authority = scheme == std::string_view::npos ? url : url.substr(scheme + 3);
    authority = authority.substr(0, authority.find('/'));
    const std::size_t at = authority.rfind('@');
    const bool in_authority =
        at != std::string_view::npos && authority.substr(0, at).find(':') != std::string_view::npos;
    return in_authority || url.find("password=") != std::string_view::npos;
}

void check_shard(const toml::key& key, const ShardConfig& shard, TomlFaults& faults) {
    const std::string section = fmt::format("[shards.{}]", key.str());
    if (shard.url.empty() == shard.url_env.empty()) {
        faults.add(key.source(), fmt::format("{} needs url or url_env, one of them: where the server is", section));
    }
    if (!shard.url.empty() && kind_of_url(shard.url).empty()) {
        faults.add(key.source(), fmt::format("{}: url begins with redis:// or postgres://", section));
    }
    if (has_password(shard.url)) {
        faults.add(key.source(),
                   fmt::format("{}: no passwords in this file: use password_env, password_file or url_env", section));
    }
    if (!shard.password_env.empty() && !shard.password_file.empty()) {
        faults.add(
            key.source(),
            fmt::format("{}: password_env and password_file both tell where the password is: name one", section));
    }
}

Result<void> check_shard_name(std::string_view name) {
    if (name == "redis" || name == "postgres" || name == "postgres-data" || name == "limiter") {
        return Error{Code::invalid, fmt::format("{} is the name of the server that REDIS_URL or POSTGRES_URL names: "
                                                "give this one another",
                                                quote(name))};
    }
    Result<void> checked = check_tenant_id(name);
    return checked ? checked
                   : Result<void>{Error{Code::invalid,
                                        "a shard's name follows the rules of a tenant id: " + checked.error().message}};
}

}  // namespace

void read_shards(const toml::node& node, const Environment& environment, Config& config, TomlFaults& faults) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
        return faults.add(node.source(), "shards are written as NAME = \"url\" below [shards], or as [shards.NAME]");
    }
    for (const auto& [key, value] : *table) {
        ShardConfig shard;
        shard.name = std::string(key.str());
        if (Result<void> named = check_shard_name(shard.name); !named) {
            faults.add(key.source(), named.error().message);
            continue;
        }
        if (const auto url = value.value_exact<std::string>()) {
            shard.url = *url;
        } else if (const toml::table* section = value.as_table()) {
            read_section<ShardConfig>(*section, {fmt::format("[shards.{}]", shard.name), k_shard_fields}, shard,
                                      faults);
        } else {
            faults.add(key.source(), "shards are written as NAME = \"url\" below [shards], or as [shards.NAME]");
            continue;
        }
        check_shard(key, shard, faults);
        const std::string url =
            shard.url_env.empty() ? shard.url : (environment ? environment(shard.url_env) : std::nullopt).value_or("");
        shard.kind = kind_of_url(url);
        config.shards.emplace(shard.name, std::move(shard));
    }
}

}  // namespace mt
