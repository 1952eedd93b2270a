// The one place that knows toml++: text -> Config, strictly. toml++'s own value_or would swallow wrong types and typos.

#include <fmt/core.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/networks.h"
#include "base/text.h"
#include "config/config.h"

namespace mt {
namespace {

using S = ServerConfig;

struct ServerField {
    FieldRule rule;
    std::variant<std::int64_t S::*, bool S::*, std::string S::*, std::vector<std::string> S::*> member;
};

Result<void> check_network(const std::string& text) {
    Result<Networks> parsed = Networks::parse({&text, 1});
    return parsed ? Result<void>{} : Result<void>{std::move(parsed).error()};
}

constexpr std::array<std::string_view, 5> k_levels{"debug", "info", "warning", "error", "off"};
constexpr std::int64_t k_day_ms = 86'400'000;
constexpr std::int64_t k_kib = 1024;
constexpr std::int64_t k_mib = 1024 * k_kib;
constexpr std::int64_t k_gib = 1024 * k_mib;
constexpr std::int64_t k_most_threads = 65'536;
constexpr std::int64_t k_most_requests = 1'000'000;
constexpr std::int64_t k_most_connections = 10'000'000;

const std::array k_server_fields{
    ServerField{{"listen", FieldKind::text, 1, 256, {}, nullptr, "HOST:PORT"}, &S::listen},
    ServerField{{"data", FieldKind::text, 1, 4096, {}, nullptr, "folder"}, &S::data},
    ServerField{{"log_level", FieldKind::text, 1, 16, k_levels, nullptr, "least level"}, &S::log_level},
    ServerField{{"access_log", FieldKind::boolean, 0, 1, {}, nullptr, "a line per call"}, &S::access_log},
    ServerField{{"workers", FieldKind::integer, 0, 1024, {}, nullptr, "threads"}, &S::workers},
    ServerField{{"max_head", FieldKind::size, k_kib, k_mib, {}, nullptr, "head"}, &S::max_head},
    ServerField{{"max_fields", FieldKind::integer, 1, 10'000, {}, nullptr, "fields"}, &S::max_fields},
    ServerField{{"max_uri", FieldKind::size, 64, k_mib, {}, nullptr, "target"}, &S::max_uri},
    ServerField{{"max_body", FieldKind::size, 0, k_gib, {}, nullptr, "body"}, &S::max_body},
    ServerField{{"max_buffered", FieldKind::size, k_kib, k_kib* k_gib, {}, nullptr, "requests"}, &S::max_buffered},
    ServerField{{"max_stream_buffer", FieldKind::size, k_kib, k_gib, {}, nullptr, "stream"}, &S::max_stream_buffer},
    ServerField{{"max_blocking", FieldKind::integer, 1, k_most_threads, {}, nullptr, "waits"}, &S::max_blocking},
    ServerField{{"max_in_flight", FieldKind::integer, 1, k_most_requests, {}, nullptr, "calls"}, &S::max_in_flight},
    ServerField{{"max_connections", FieldKind::integer, 1, k_most_connections, {}, nullptr, "open"},
                &S::max_connections},
    ServerField{{"max_connections_per_peer", FieldKind::integer, 1, k_most_connections, {}, nullptr, "of one address"},
                &S::max_connections_per_peer},
    ServerField{{"trusted_proxies", FieldKind::list, 0, 256, {}, check_network, "networks"}, &S::trusted_proxies},
    ServerField{{"tls_cert", FieldKind::text, 1, 4096, {}, nullptr, "PEM file"}, &S::tls_cert},
    ServerField{{"tls_key", FieldKind::text, 1, 4096, {}, nullptr, "PEM file"}, &S::tls_key},
    ServerField{{"head_timeout", FieldKind::duration, 1, k_day_ms, {}, nullptr, "head"}, &S::head_timeout_ms},
    ServerField{{"body_timeout", FieldKind::duration, 1, k_day_ms, {}, nullptr, "body"}, &S::body_timeout_ms},
    ServerField{{"idle_timeout", FieldKind::duration, 1, k_day_ms, {}, nullptr, "idle"}, &S::idle_timeout_ms},
    ServerField{{"write_timeout", FieldKind::duration, 1, k_day_ms, {}, nullptr, "reply"}, &S::write_timeout_ms},
    ServerField{{"drain_delay", FieldKind::duration, 0, k_day_ms, {}, nullptr, "delay"}, &S::drain_delay_ms},
    ServerField{{"drain_timeout", FieldKind::duration, 0, k_day_ms, {}, nullptr, "drain"}, &S::drain_timeout_ms},
    ServerField{{"request_timeout", FieldKind::duration, 1, k_day_ms, {}, nullptr, "call"}, &S::request_timeout_ms},
};

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
    explicit Reader(std::filesystem::path file) { m_config.file = std::move(file); }

    Result<Config> read(std::string_view text) {
        m_config.models = {"builtin"};
        for (const char* plan : {"basic", "professional", "enterprise"}) {
            m_config.plans[plan] = builtin_plan(plan);
        }
        try {
            const toml::table root = toml::parse(text);
            read_root(root);
        } catch (const toml::parse_error& fault) {
            complain(fault.source(), std::string(fault.description()));
        }
        if (!m_faults.empty()) {
            return Error{Code::config, join(m_faults, "\n")};
        }
        return std::move(m_config);
    }

  private:
    void complain(const toml::source_region& where, const std::string& message) {
        m_faults.push_back(fmt::format("{}:{}: {}", m_config.file.empty() ? "tenants.toml" : m_config.file.string(),
                                       where.begin.line, message));
    }

    void read_root(const toml::table& root) {
        constexpr std::array<std::string_view, 4> k_sections{"server", "plans", "models", "tenants"};
        for (const auto& [key, node] : root) {
            const std::string_view name = key.str();
            if (std::find(k_sections.begin(), k_sections.end(), name) == k_sections.end()) {
                complain(key.source(), fmt::format("unknown section {}{}", quote(name), suggestion(name, k_sections)));
            }
        }
        // Plans and models first: tenants name them.
        if (const toml::node* server = root.get("server")) {
            read_server(*server);
        }
        if (const toml::node* plans = root.get("plans")) {
            read_plans(*plans);
        }
        if (const toml::node* models = root.get("models")) {
            read_models(*models);
        }
        if (const toml::node* tenants = root.get("tenants")) {
            read_tenants(*tenants);
        }
    }

    void read_server(const toml::node& node) {
        const toml::table* table = node.as_table();
        if (table == nullptr) {
            return complain(node.source(), "[server] is a table");
        }
        std::vector<std::string_view> names;
        for (const ServerField& field : k_server_fields) {
            names.push_back(field.rule.name);
        }
        for (const auto& [key, value] : *table) {
            const auto found = std::find(names.begin(), names.end(), key.str());
            if (found == names.end()) {
                complain(key.source(),
                         fmt::format("unknown key {} in [server]{}", quote(key.str()), suggestion(key.str(), names)));
                continue;
            }
            const ServerField& field = k_server_fields[static_cast<std::size_t>(found - names.begin())];
            if (const auto checked = checked_value(field.rule, value)) {
                std::visit(
                    [&](auto member) {
                        using Member = std::remove_reference_t<decltype(m_config.server.*member)>;
                        m_config.server.*member = std::get<Member>(*checked);
                    },
                    field.member);
            }
        }
        check_pair(*table, "tls_cert", "tls_key");
        check_pair(*table, "tls_key", "tls_cert");
    }

    // A certificate is of no use without its key, nor a key without its certificate.
    void check_pair(const toml::table& table, std::string_view given, std::string_view needed) {
        const toml::node* node = table.get(given);
        if (node != nullptr && !table.contains(needed)) {
            complain(node->source(), fmt::format("{} needs {} beside it: name both files, or neither", given, needed));
        }
    }

    void read_plans(const toml::node& node) {
        const toml::table* table = node.as_table();
        if (table == nullptr) {
            return complain(node.source(), "plans are written as [plans.NAME]");
        }
        for (const auto& [key, value] : *table) {
            const toml::table* plan = value.as_table();
            if (plan == nullptr) {
                complain(key.source(), "plans are written as [plans.NAME]");
                continue;
            }
            if (Result<void> named = check_tenant_id(key.str()); !named) {
                complain(key.source(), "a plan's name follows the rules of a tenant id: " + named.error().message);
                continue;
            }
            Settings& settings = m_config.plans[std::string(key.str())];
            for (auto& [name, setting] : read_fields(*plan, true)) {
                settings[name] = setting;
            }
        }
    }

    void read_models(const toml::node& node) {
        const toml::table* table = node.as_table();
        if (table == nullptr) {
            return complain(node.source(), "models are written as [models.NAME]");
        }
        constexpr std::array<std::string_view, 1> k_keys{"provider"};
        for (const auto& [key, value] : *table) {
            const toml::table* model = value.as_table();
            const toml::node* provider = model == nullptr ? nullptr : model->get("provider");
            if (provider == nullptr || provider->value_exact<std::string>() != "builtin") {
                complain(key.source(), fmt::format("[models.{}] needs provider = \"builtin\"", key.str()));
                continue;
            }
            for (const auto& [name, setting] : *model) {
                if (name.str() != "provider") {
                    complain(name.source(), fmt::format("unknown key {} in [models.{}]{}", quote(name.str()), key.str(),
                                                        suggestion(name.str(), k_keys)));
                }
            }
            m_config.models.emplace_back(key.str());
        }
    }

    void read_tenants(const toml::node& node) {
        const toml::array* list = node.as_array();
        if (list == nullptr) {
            return complain(node.source(), "tenants are written as [[tenants]]");
        }
        for (const toml::node& entry : *list) {
            const toml::table* table = entry.as_table();
            if (table == nullptr) {
                complain(entry.source(), "tenants are written as [[tenants]]");
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
            return complain(where, "a tenant needs an id: a text in quotes");
        }
        if (Result<void> checked = check_tenant_id(*id); !checked) {
            return complain(id_node->source(), checked.error().message);
        }
        if (!m_ids.insert(*id).second) {
            return complain(id_node->source(), fmt::format("tenant {} stands there twice", quote(*id)));
        }
        const std::size_t faults = m_faults.size();
        TenantSpec spec{*id, read_fields(table, false)};
        if (faults == m_faults.size()) {
            if (Result<void> checked = m_config.check(spec.id, spec.own); !checked) {
                complain(table.source(), fmt::format("tenant {}: {}", quote(*id), checked.error().message));
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
                complain(key.source(), fmt::format("unknown key {}{}", quote(name), tenant_field_suggestion(name)));
            } else if (plan && !field->in_plan) {
                complain(key.source(), fmt::format("{} belongs to a tenant, not to a plan", name));
            } else if (auto value = checked_value(field->rule, node)) {
                settings.emplace(name, *std::move(value));
            }
        }
        return settings;
    }

    // The value of a node by its rule; a fault is complained about and gives nothing.
    std::optional<Value> checked_value(const FieldRule& rule, const toml::node& node) {
        const std::optional<Value> value = to_value(node);
        if (!value) {
            complain(node.source(), fmt::format("{}: wrong type, expected {}", rule.name, expectation(rule)));
            return std::nullopt;
        }
        Result<Value> checked = check_value(rule, *value);
        if (!checked) {
            complain(node.source(), checked.error().message);
            return std::nullopt;
        }
        return *std::move(checked);
    }

    static std::optional<Value> to_value(const toml::node& node) {
        if (const auto number = node.value_exact<std::int64_t>()) {
            return *number;
        }
        if (const auto truth = node.value_exact<bool>()) {
            return *truth;
        }
        if (const auto text = node.value_exact<std::string>()) {
            return *text;
        }
        const toml::array* list = node.as_array();
        if (list == nullptr) {
            return std::nullopt;
        }
        std::vector<std::string> texts;
        for (const toml::node& entry : *list) {
            const std::optional<std::string> text = entry.value_exact<std::string>();
            if (!text) {
                return std::nullopt;
            }
            texts.push_back(*text);
        }
        return texts;
    }

    Config m_config;
    std::vector<std::string> m_faults;
    std::set<std::string> m_ids;
};

}  // namespace

Result<Config> parse_config(std::string_view toml, const std::filesystem::path& file) {
    return Reader(file).read(toml);
}

}  // namespace mt
