#include "config/config.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/text.h"

namespace mt {
namespace {

constexpr std::string_view k_file_name = "tenants.toml";

std::optional<std::string> variable(const ConfigSources& sources, const std::string& name) {
    std::optional<std::string> value = sources.environment ? sources.environment(name) : std::nullopt;
    return value && value->empty() ? std::nullopt : value;
}

bool is_file(const std::filesystem::path& path) {
    std::error_code ignored;  // unreadable counts as absent here; a file named by hand is opened and complains
    return std::filesystem::is_regular_file(path, ignored);
}

// The file to read, or an empty path.
std::filesystem::path find_file(const ConfigSources& sources) {
    if (sources.config_flag) {
        return *sources.config_flag;
    }
    if (const auto named = variable(sources, "MTAGENT_CONFIG")) {
        return *named;
    }
    std::vector<std::filesystem::path> places{k_file_name};
    if (const auto folder = variable(sources, "XDG_CONFIG_HOME")) {
        places.push_back(std::filesystem::path(*folder) / "mtagent" / k_file_name);
    } else if (const auto home = variable(sources, "HOME")) {
        places.push_back(std::filesystem::path(*home) / ".config" / "mtagent" / k_file_name);
    }
    places.push_back(std::filesystem::path("/etc/mtagent") / k_file_name);
    const auto found = std::find_if(places.begin(), places.end(), is_file);
    return found == places.end() ? std::filesystem::path{} : *found;
}

Result<std::string> read_file(const std::filesystem::path& path) {
    if (!is_file(path)) {
        return Error{Code::config, fmt::format("{}: there is no such file", path.string())};
    }
    std::ifstream in(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (in.bad() || !in) {
        return Error{Code::config, fmt::format("{}: cannot be read", path.string())};
    }
    return text;
}

Error unknown(std::string_view kind, std::string_view name, std::span<const std::string_view> known) {
    return {Code::invalid, fmt::format("{} {} does not exist{}", kind, quote(name), suggestion(name, known))};
}

Result<void> check_known(std::string_view kind, const std::vector<std::string>& wanted,
                         std::span<const std::string_view> known) {
    const auto missing = std::find_if(wanted.begin(), wanted.end(), [&](const std::string& name) {
        return std::find(known.begin(), known.end(), name) == known.end();
    });
    return missing == wanted.end() ? Result<void>{} : Result<void>{unknown(kind, *missing, known)};
}

// A tenant's shard is one of the configured, and of its kind of storage.
Result<void> check_shard(const TenantConfig& config, const Shards& shards) {
    if (config.shard.empty()) {
        return {};
    }
    const auto shard = shards.find(config.shard);
    if (shard == shards.end()) {
        std::vector<std::string_view> names;
        for (const auto& [name, known] : shards) {
            names.emplace_back(name);
        }
        return unknown("shard", config.shard, names);
    }
    const std::string& kind = shard->second.kind;
    if (!kind.empty() && kind != config.storage_type) {
        return Error{Code::invalid, fmt::format("shard {} is for storage_type = \"{}\", and this tenant has \"{}\"",
                                                quote(config.shard), kind, config.storage_type)};
    }
    return {};
}

}  // namespace

std::vector<std::string_view> Config::model_names() const {
    std::vector<std::string_view> names;
    for (const auto& [name, model] : models) {
        names.emplace_back(name);
    }
    return names;
}

std::vector<std::string_view> Config::tool_names() const {
    std::vector<std::string_view> names(k_builtin_tools.begin(), k_builtin_tools.end());
    for (const auto& [name, tool] : tools) {
        names.emplace_back(name);
    }
    return names;
}

TenantConfig Config::resolve(std::string_view id, const Settings& own) const {
    const auto named = own.find("plan");
    const auto* name = named == own.end() ? nullptr : std::get_if<std::string>(&named->second);
    const auto plan = plans.find(name == nullptr ? std::string_view("basic") : std::string_view(*name));
    TenantConfig defaults;
    defaults.name = std::string(id);
    defaults.model = default_model;
    const std::vector<std::string_view> all_tools = tool_names();
    defaults.tools.assign(all_tools.begin(), all_tools.end());
    return mt::resolve(std::move(defaults), plan == plans.end() ? Settings{} : plan->second, own);
}

Result<void> Config::check(std::string_view id, const Settings& own, std::span<const std::string> own_models) const {
    const TenantConfig config = resolve(id, own);
    if (plans.find(config.plan) == plans.end()) {
        std::vector<std::string_view> names;
        for (const auto& [name, settings] : plans) {
            names.emplace_back(name);
        }
        return unknown("plan", config.plan, names);
    }
    std::vector<std::string_view> known = model_names();
    if (config.has_feature("custom-models")) {
        known.insert(known.end(), own_models.begin(), own_models.end());
    }
    std::vector<std::string> wanted = config.models;
    wanted.push_back(config.model);
    if (Result<void> placed = check_shard(config, shards); !placed) {
        return placed;
    }
    if (shared && config.storage_type == "sqlite") {
        return Error{
            Code::invalid,
            "storage_type = \"sqlite\" is a file of one server, and with POSTGRES_URL there may be several: use "
            "\"postgres\" or \"redis\""};
    }
    Result<void> checked = check_known("model", wanted, known);
    if (checked) {
        checked = check_known("tool", config.tools, tool_names());
    }
    return checked ? check_tenant(config) : checked;
}

Settings Config::placed(std::string_view id, Settings own) const {
    const TenantConfig config = resolve(id, own);
    if (config.shard.empty() && has_shards(config.storage_type)) {
        if (std::string shard = choose_shard(shards, config.storage_type, id); !shard.empty()) {
            own.insert_or_assign("shard", std::move(shard));
        }
    }
    return own;
}

std::map<std::string, std::optional<Value>, std::less<>> Config::placed(
    std::string_view id, const Settings& own, std::map<std::string, std::optional<Value>, std::less<>> changes) const {
    if (changes.contains("shard")) {
        return changes;
    }
    Settings changed = own;
    for (const auto& [field, value] : changes) {
        value ? static_cast<void>(changed.insert_or_assign(field, *value)) : static_cast<void>(changed.erase(field));
    }
    if (resolve(id, own).storage_type == resolve(id, changed).storage_type) {
        return changes;
    }
    const bool had = changed.erase("shard") > 0;
    const Settings placed_anew = placed(id, changed);
    if (const auto shard = placed_anew.find("shard"); shard != placed_anew.end()) {
        changes.emplace("shard", shard->second);
    } else if (had) {
        changes.emplace("shard", std::nullopt);
    }
    return changes;
}

Result<Config> load_config(const ConfigSources& sources) {
    const std::filesystem::path file = find_file(sources);
    std::string text;
    if (!file.empty()) {
        Result<std::string> content = read_file(file);
        if (!content) {
            return std::move(content).error();
        }
        text = *std::move(content);
    }
    Result<Config> config = parse_config(text, file, sources.environment);
    if (!config) {
        return config;
    }
    const auto override_with = [&](const std::optional<std::string>& flag, const char* name, std::string& target) {
        const std::optional<std::string> value = flag ? flag : variable(sources, name);
        target = value.value_or(target);
    };
    override_with(sources.listen_flag, "MTAGENT_LISTEN", config->server.listen);
    override_with(sources.data_flag, "MTAGENT_DATA", config->server.data);
    config->data =
        config->server.data.empty() ? std::filesystem::path("data") : std::filesystem::path(config->server.data);
    return config;
}

}  // namespace mt
