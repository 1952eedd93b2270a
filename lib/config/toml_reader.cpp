// text -> Config: the sections that are read here, plans and tenants, and the order of all.

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/text.h"
#include "config/config.h"
#include "config/toml_section.h"

namespace mt {
namespace {

const Settings& builtin_plan(std::string_view name) {
    using List = std::vector<std::string>;
    static const std::map<std::string, Settings, std::less<>> k_plans{
        {"basic", {{"rate_limit", 10}, {"cache_size", 100}, {"features", List{"basic-chat"}}}},
        {"professional",
         {{"rate_limit", 100},
          {"cache_size", 1000},
          {"features", List{"basic-chat", "advanced-analytics", "priority-support"}}}},
        {"enterprise",
         {{"rate_limit", 1000},
          {"cache_size", 10000},
          {"features",
           List{"basic-chat", "advanced-analytics", "priority-support", "custom-models", "dedicated-resources"}}}}};
    return k_plans.at(std::string(name));
}

class Reader {
  public:
    Reader(std::filesystem::path file, const Environment& environment)
        : m_environment(environment), m_faults(file.string()) {
        m_config.file = std::move(file);
    }

    Result<Config> read(std::string_view text) {
        for (const char* plan : {"basic", "professional", "enterprise"}) {
            m_config.plans[plan] = builtin_plan(plan);
        }
        try {
            const toml::table root = toml::parse(text);
            read_root(root);
        } catch (const toml::parse_error& fault) {
            m_faults.add(fault.source(), fault.description());
        }
        if (m_faults.count() > 0) {
            return Error{Code::config, m_faults.text()};
        }
        return std::move(m_config);
    }

  private:
    void read_root(const toml::table& root) {
        constexpr std::array<std::string_view, 6> k_sections{"server", "plans", "models", "tools", "shards", "tenants"};
        for (const auto& [key, node] : root) {
            const std::string_view name = key.str();
            if (std::find(k_sections.begin(), k_sections.end(), name) == k_sections.end()) {
                m_faults.add(key.source(),
                             fmt::format("unknown section {}{}", quote(name), suggestion(name, k_sections)));
            }
        }
        m_config.shared = !(m_environment ? m_environment("POSTGRES_URL") : std::nullopt).value_or("").empty();
        // Plans, models, tools and shards first: tenants name them.
        if (const toml::node* server = root.get("server")) {
            read_server(*server, m_config.server, m_faults);
        }
        if (const toml::node* plans = root.get("plans")) {
            read_plans(*plans);
        }
        read_models(root.get("models"), m_environment, m_config, m_faults);
        if (const toml::node* tools = root.get("tools")) {
            read_tools(*tools, m_config, m_faults);
        }
        if (const toml::node* shards = root.get("shards")) {
            read_shards(*shards, m_environment, m_config, m_faults);
        }
        if (const toml::node* tenants = root.get("tenants")) {
            read_tenants(*tenants);
        }
    }

    void read_plans(const toml::node& node) {
        const toml::table* table = node.as_table();
        if (table == nullptr) {
            return m_faults.add(node.source(), "plans are written as [plans.NAME]");
        }
        for (const auto& [key, value] : *table) {
            const toml::table* plan = value.as_table();
            if (plan == nullptr) {
                m_faults.add(key.source(), "plans are written as [plans.NAME]");
                continue;
            }
            if (Result<void> named = check_tenant_id(key.str()); !named) {
                m_faults.add(key.source(), "a plan's name follows the rules of a tenant id: " + named.error().message);
                continue;
            }
            Settings& settings = m_config.plans[std::string(key.str())];
            for (auto& [name, setting] : read_fields(*plan, true)) {
                settings[name] = setting;
            }
        }
    }

    void read_tenants(const toml::node& node) {
        const toml::array* list = node.as_array();
        if (list == nullptr) {
            return m_faults.add(node.source(), "tenants are written as [[tenants]]");
        }
        for (const toml::node& entry : *list) {
            const toml::table* table = entry.as_table();
            if (table == nullptr) {
                m_faults.add(entry.source(), "tenants are written as [[tenants]]");
                continue;
            }
            read_tenant(*table);
        }
    }

    void read_tenant(const toml::table& table) {
        const toml::node* id_node = table.get("id");
        const std::optional<std::string> id = id_node == nullptr ? std::nullopt : id_node->value_exact<std::string>();
        if (!id) {
            const auto& where = id_node == nullptr ? table.source() : id_node->source();
            return m_faults.add(where, "a tenant needs an id: a text in quotes");
        }
        if (Result<void> checked = check_tenant_id(*id); !checked) {
            return m_faults.add(id_node->source(), checked.error().message);
        }
        if (!m_ids.insert(*id).second) {
            return m_faults.add(id_node->source(), fmt::format("tenant {} stands there twice", quote(*id)));
        }
        const std::size_t faults = m_faults.count();
        TenantSpec spec{*id, read_fields(table, false)};
        if (faults == m_faults.count()) {
            if (Result<void> checked = m_config.check(spec.id, spec.own); !checked) {
                m_faults.add(table.source(), fmt::format("tenant {}: {}", quote(*id), checked.error().message));
            }
        }
        m_config.tenants.push_back(std::move(spec));
    }

    Settings read_fields(const toml::table& table, bool plan) {
        Settings settings;
        for (const auto& [key, node] : table) {
            const std::string_view name = key.str();
            if (!plan && name == "id") {
                continue;
            }
            const TenantField* field = find_tenant_field(name);
            if (field == nullptr) {
                m_faults.add(key.source(), fmt::format("unknown key {}{}", quote(name), tenant_field_suggestion(name)));
            } else if (plan && !field->in_plan) {
                m_faults.add(key.source(), fmt::format("{} belongs to a tenant, not to a plan", name));
            } else if (auto value = checked_value(field->rule, node, m_faults)) {
                settings.emplace(name, *std::move(value));
            }
        }
        return settings;
    }

    const Environment& m_environment;
    Config m_config;
    TomlFaults m_faults;
    std::set<std::string> m_ids;
};

}  // namespace

Result<Config> parse_config(std::string_view toml, const std::filesystem::path& file, const Environment& environment) {
    return Reader(file, environment).read(toml);
}

}  // namespace mt
