// tenant add | list | config | suspend | resume | history

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <utility>

#include "api/json_views.h"
#include "app/command.h"
#include "app/settings_flags.h"
#include "app/workspace.h"
#include "base/text.h"

namespace mt::app {
namespace {

using api::Json;

struct AddFlags {
    std::string id;
    bool if_missing = false;
    SettingsFlags settings;
};

Result<void> add(const Console& console, const AddFlags& flags) {
    if (Result<void> checked = check_tenant_id(flags.id); !checked) {
        return checked;
    }
    Result<Settings> own = flags.settings.settings();
    if (!own) {
        return std::move(own).error();
    }
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, true);
    if (!workspace) {
        return std::move(workspace).error();
    }
    Catalog& catalog = *(*workspace)->catalog;
    const std::string who = system_user();
    const Settings placed = (*workspace)->config.placed(flags.id, *std::move(own));
    Result<TenantRecord> record = catalog.create_tenant(flags.id, placed, (*workspace)->check_for(flags.id), who);
    if (!record && record.error().code == Code::already_exists && flags.if_missing) {
        record = catalog.tenant(flags.id);
        if (record && console.json()) {
            console.print_json(api::tenant_json(*record, (*workspace)->config));
        } else if (record) {
            console.note(fmt::format("tenant '{}' exists already, nothing is changed", flags.id));
        }
        return record ? Result<void>{} : Result<void>{std::move(record).error()};
    }
    if (!record) {
        return std::move(record).error();
    }
    Result<NewKey> key = catalog.create_key({flags.id, "first key"}, who);
    if (!key) {
        return std::move(key).error();
    }
    if (console.json()) {
        Json json = api::tenant_json(*record, (*workspace)->config);
        json["key_id"] = key->record.key_id;
        json["api_key"] = key->text;
        console.print_json(json);
        return {};
    }
    console.note(
        fmt::format("tenant '{}' is added with plan {}. Its API key, shown this once:", flags.id, record->plan));
    console.print(key->text);
    return {};
}

Result<void> list(const Console& console) {
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    Json json = Json::array();
    std::vector<std::vector<std::string>> rows{{"ID", "NAME", "PLAN", "STATUS", "CREATED"}};
    Result<void> listed = for_each_tenant(*(*workspace)->catalog, [&](const TenantRecord& record) -> Result<void> {
        json.push_back(api::tenant_row_json(record));
        rows.push_back({record.id, record.name, record.plan, std::string(to_string(record.status)),
                        format_rfc3339(record.created)});
        return {};
    });
    if (listed) {
        console.json() ? console.print_json(json) : console.print(table(rows));
    }
    return listed;
}

struct ConfigFlags {
    std::string id;
    std::vector<std::string> assignments;
    std::vector<std::string> unset;
};

void show_config(const Console& console, const Workspace& workspace, const TenantRecord& record) {
    if (console.json()) {
        return console.print_json(api::tenant_json(record, workspace.config));
    }
    const TenantConfig resolved = workspace.config.resolve(record.id, record.own);
    std::vector<std::vector<std::string>> rows{
        {"SETTING", "FROM", "VALUE"}, {"id", "", record.id}, {"status", "", std::string(to_string(record.status))}};
    for (const TenantField& field : tenant_fields()) {
        const bool own = record.own.contains(field.rule.name);
        rows.push_back({std::string(field.rule.name), own ? "tenant" : "plan",
                        format_value(field.rule, value_of(resolved, field))});
    }
    console.print(table(rows));
}

Result<void> config(const Console& console, const ConfigFlags& flags) {
    Result<SettingChanges> changes = parse_assignments(flags.assignments, flags.unset);
    if (!changes) {
        return std::move(changes).error();
    }
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    Catalog& catalog = *(*workspace)->catalog;
    Result<TenantRecord> record = catalog.tenant(flags.id);
    if (record && !changes->empty()) {
        record = catalog.update_tenant(flags.id, (*workspace)->config.placed(flags.id, record->own, *changes),
                                       (*workspace)->check_for(flags.id), system_user());
    }
    if (!record) {
        return std::move(record).error();
    }
    show_config(console, **workspace, *record);
    return {};
}

Result<void> set_suspended(const Console& console, const std::string& id, bool suspended) {
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    Result<TenantRecord> record = (*workspace)->catalog->set_suspended(id, suspended, system_user());
    if (!record) {
        return std::move(record).error();
    }
    if (console.json()) {
        console.print_json(api::tenant_row_json(*record));
    } else {
        console.note(fmt::format("tenant '{}' is {}", id, to_string(record->status)));
    }
    return {};
}

// Texts such as a system prompt may have several lines.
std::string in_one_line(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20U || c == 0x7F; }, ' ');
    return text;
}

void show_history(const Console& console, const std::vector<AuditEvent>& events, bool all) {
    if (console.json()) {
        Json json = Json::array();
        for (const AuditEvent& event : events) {
            json.push_back(api::event_json(event));
        }
        return console.print_json(json);
    }
    std::vector<std::vector<std::string>> rows{{"TIME", "WHO", "ACTION"}};
    if (all) {
        rows[0].emplace_back("TENANT");
    }
    rows[0].insert(rows[0].end(), {"WHAT", "CHANGE"});
    for (const AuditEvent& event : events) {
        std::vector<std::string> row{format_rfc3339(event.at), event.who, event.action};
        if (all) {
            row.push_back(event.tenant.empty() ? "-" : event.tenant);
        }
        row.insert(row.end(), {event.subject, in_one_line(fmt::format("{} -> {}", event.before, event.after))});
        rows.push_back(std::move(row));
    }
    console.print(table(rows));
}

// `id`: "" for everything that operators did, their own keys included.
Result<void> history(const Console& console, const std::string& id) {
    constexpr std::int64_t k_most_events = 1000;
    constexpr std::int64_t k_most_in_all = 100'000;
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    Catalog& catalog = *(*workspace)->catalog;
    if (!id.empty()) {
        if (Result<TenantRecord> row = catalog.row(id); !row) {
            return std::move(row).error();
        }
    }
    Result<std::vector<AuditEvent>> events = catalog.history(id, id.empty() ? k_most_in_all : k_most_events);
    if (!events) {
        return std::move(events).error();
    }
    show_history(console, *events, id.empty());
    return {};
}

// A command that takes the id of a tenant and nothing else.
Run declare_with_id(CLI::App& app, Result<void> (*work)(const Console&, const std::string&)) {
    auto id = std::make_shared<std::string>();
    app.add_option("ID", *id, "tenant")->required();
    return [id, work](Console& console) { return work(console, *id); };
}

}  // namespace

Run declare_tenant_add(CLI::App& app) {
    auto flags = std::make_shared<AddFlags>();
    app.add_option("ID", flags->id, "1 to 48 of a-z, 0-9, '_' and '-'")->required();
    app.add_flag("--if-missing", flags->if_missing, "an existing tenant is no error and stays as it is");
    flags->settings.declare(app);
    return [flags](Console& console) { return add(console, *flags); };
}

Run declare_tenant_list(CLI::App& /*app*/) {
    return [](Console& console) { return list(console); };
}

Run declare_tenant_config(CLI::App& app) {
    auto flags = std::make_shared<ConfigFlags>();
    app.add_option("ID", flags->id, "tenant")->required();
    app.add_option("KEY=VALUE", flags->assignments, "settings to change");
    app.add_option("--unset", flags->unset, "settings to take back to the plan's value")
        ->type_name("KEY")
        ->allow_extra_args(false);
    return [flags](Console& console) { return config(console, *flags); };
}

Run declare_tenant_suspend(CLI::App& app) {
    return declare_with_id(
        app, [](const Console& console, const std::string& id) { return set_suspended(console, id, true); });
}

Run declare_tenant_resume(CLI::App& app) {
    return declare_with_id(
        app, [](const Console& console, const std::string& id) { return set_suspended(console, id, false); });
}

Run declare_tenant_history(CLI::App& app) {
    auto id = std::make_shared<std::string>();
    app.add_option("ID", *id, "tenant; default: all, and the operators' own keys")->check(not_empty());
    return [id](Console& console) { return history(console, *id); };
}

}  // namespace mt::app
