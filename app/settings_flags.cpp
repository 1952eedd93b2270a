#include "app/settings_flags.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "base/text.h"
#include "config/tenant_config.h"

namespace mt::app {
namespace {

std::string flag_of(std::string_view field) {
    std::string flag = "--" + std::string(field);
    std::replace(flag.begin(), flag.end(), '_', '-');
    return flag;
}

Result<const TenantField*> known_field(std::string_view name) {
    const TenantField* field = find_tenant_field(name);
    if (field == nullptr) {
        return Error{Code::invalid, fmt::format("unknown setting {}{}", quote(name), tenant_field_suggestion(name))};
    }
    return field;
}

}  // namespace

void SettingsFlags::declare(CLI::App& app) {
    m_app = &app;
    for (const TenantField& field : tenant_fields()) {
        const std::string name(field.rule.name);
        app.add_option(flag_of(name), m_texts[name], std::string(field.rule.help))->type_name("VALUE");
    }
}

Result<Settings> SettingsFlags::settings() const {
    Settings settings;
    for (const auto& [name, text] : m_texts) {
        if (m_app->count(flag_of(name)) == 0) {
            continue;
        }
        const TenantField* field = find_tenant_field(name);
        Result<Value> value = parse_value(field->rule, text);
        if (!value) {
            return std::move(value).error();
        }
        settings.emplace(name, *std::move(value));
    }
    return settings;
}

Result<SettingChanges> parse_assignments(const std::vector<std::string>& words, const std::vector<std::string>& unset) {
    SettingChanges changes;
    for (const std::string& word : words) {
        const std::size_t equals = word.find('=');
        if (equals == std::string::npos) {
            return Error{Code::invalid, fmt::format("{} is no assignment: write KEY=VALUE", quote(word))};
        }
        Result<const TenantField*> field = known_field(std::string_view(word).substr(0, equals));
        if (!field) {
            return std::move(field).error();
        }
        Result<Value> value = parse_value((*field)->rule, std::string_view(word).substr(equals + 1));
        if (!value) {
            return std::move(value).error();
        }
        if (!changes.emplace((*field)->rule.name, *std::move(value)).second) {
            return Error{Code::invalid, fmt::format("{} is given twice", (*field)->rule.name)};
        }
    }
    for (const std::string& name : unset) {
        Result<const TenantField*> field = known_field(name);
        if (!field) {
            return std::move(field).error();
        }
        if (!changes.emplace((*field)->rule.name, std::nullopt).second) {
            return Error{Code::invalid, fmt::format("{} is set and taken back at once", name)};
        }
    }
    return changes;
}

}  // namespace mt::app
