#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "api/json_views.h"
#include "app/command.h"
#include "app/removal.h"
#include "app/workspace.h"
#include "config/tenant_config.h"

namespace mt::app {
namespace {

using api::Json;

constexpr std::chrono::seconds k_patience{10};

struct Flags {
    std::string file;
    bool dry_run = false;
    bool prune = false;
    bool confirm = false;
};

// What has to be done, decided before anything is.
struct Plan {
    std::vector<TenantSpec> create;
    struct Change {
        TenantRecord present;
        SettingChanges changes;
    };
    std::vector<Change> change;
    std::vector<std::string> remove;  // with --prune
    std::vector<std::string> extra;   // not in the file, left alone
    std::int64_t unchanged = 0;
};

Result<void> plan_spec(Catalog& catalog, const TenantSpec& spec, Plan& plan) {
    Result<TenantRecord> row = catalog.row(spec.id);
    if (!row && row.error().code != Code::not_found) {
        return std::move(row).error();
    }
    if (!row || row->status == TenantStatus::removed) {
        plan.create.push_back(spec);
        return {};
    }
    if (row->status == TenantStatus::removing) {
        return Error{Code::busy, fmt::format("tenant '{}' is still being removed: try again", spec.id)};
    }
    Result<TenantRecord> present = catalog.tenant(spec.id);
    if (!present) {
        return std::move(present).error();
    }
    SettingChanges changes = drift(present->own, spec.own);
    if (changes.empty()) {
        ++plan.unchanged;
    } else {
        plan.change.push_back({*std::move(present), std::move(changes)});
    }
    return {};
}

Result<Plan> make_plan(Workspace& workspace, bool prune) {
    Plan plan;
    std::set<std::string> wanted;
    for (const TenantSpec& spec : workspace.config.tenants) {
        wanted.insert(spec.id);
        if (Result<void> planned = plan_spec(*workspace.catalog, spec, plan); !planned) {
            return std::move(planned).error();
        }
    }
    Result<void> listed = for_each_tenant(*workspace.catalog, [&](const TenantRecord& record) -> Result<void> {
        if (!wanted.contains(record.id)) {
            (prune ? plan.remove : plan.extra).push_back(record.id);
        }
        return {};
    });
    return listed ? Result<Plan>(std::move(plan)) : Result<Plan>(std::move(listed).error());
}

Result<void> carry_out(Workspace& workspace, const Plan& plan) {
    const std::string who = system_user();
    for (const TenantSpec& spec : plan.create) {
        Result<TenantRecord> made = workspace.catalog->create_tenant(
            spec.id, workspace.config.placed(spec.id, spec.own), workspace.check_for(spec.id), who);
        if (!made) {
            return std::move(made).error();
        }
    }
    for (const Plan::Change& change : plan.change) {
        const TenantRecord& present = change.present;
        Result<TenantRecord> changed = workspace.catalog->update_tenant(
            present.id, workspace.config.placed(present.id, present.own, change.changes),
            workspace.check_for(present.id), who);
        if (!changed) {
            return std::move(changed).error();
        }
    }
    for (const std::string& id : plan.remove) {
        if (Result<void> removed = remove_tenant(workspace, id, k_patience); !removed) {
            return removed;
        }
    }
    return {};
}

Json setting_json(const std::string& name, const std::optional<Value>& value) {
    const TenantField* field = find_tenant_field(name);
    return value && field != nullptr ? api::value_json(field->rule, *value) : Json(nullptr);
}

std::optional<Value> present_value(const Plan::Change& change, const std::string& name) {
    const auto found = change.present.own.find(name);
    return found == change.present.own.end() ? std::nullopt : std::optional(found->second);
}

Json plan_json(const Plan& plan, bool dry_run) {
    Json json{{"dry_run", dry_run},     {"created", Json::array()},  {"changed", Json::array()},
              {"removed", plan.remove}, {"not_in_file", plan.extra}, {"unchanged", plan.unchanged}};
    for (const TenantSpec& spec : plan.create) {
        json["created"].push_back(spec.id);
    }
    for (const Plan::Change& change : plan.change) {
        Json fields = Json::object();
        for (const auto& [name, value] : change.changes) {
            fields[name] = {{"before", setting_json(name, present_value(change, name))},
                            {"after", setting_json(name, value)}};
        }
        json["changed"].push_back({{"id", change.present.id}, {"fields", fields}});
    }
    return json;
}

std::string plan_text(const Plan& plan) {
    std::string text;
    for (const TenantSpec& spec : plan.create) {
        text += fmt::format("+ {}\n", spec.id);
    }
    for (const Plan::Change& change : plan.change) {
        for (const auto& [name, value] : change.changes) {
            text +=
                fmt::format("~ {} {}: {} -> {}\n", change.present.id, name,
                            setting_json(name, present_value(change, name)).dump(), setting_json(name, value).dump());
        }
    }
    for (const std::string& id : plan.remove) {
        text += fmt::format("- {}\n", id);
    }
    for (const std::string& id : plan.extra) {
        text += fmt::format("  {} is not in the file and stays (--prune --confirm removes it)\n", id);
    }
    return text + fmt::format("{} unchanged\n", plan.unchanged);
}

Result<void> apply(Console& console, const Flags& flags) {
    if (flags.prune && !flags.confirm && !flags.dry_run) {
        return Error{Code::invalid, "--prune erases the data of tenants that are not in the file: say --confirm too"};
    }
    Globals globals = console.globals();
    if (!flags.file.empty()) {
        globals.config = flags.file;
    }
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(Console(globals), true);
    if (!workspace) {
        return std::move(workspace).error();
    }
    if ((*workspace)->config.file.empty()) {
        return Error{Code::config, "there is no tenants.toml here: name one"};
    }
    Result<Plan> plan = make_plan(**workspace, flags.prune);
    if (!plan) {
        return std::move(plan).error();
    }
    if (!flags.dry_run) {
        if (Result<void> done = carry_out(**workspace, *plan); !done) {
            return done;
        }
    }
    if (console.json()) {
        console.print_json(plan_json(*plan, flags.dry_run));
    } else {
        console.print(plan_text(*plan));
    }
    return {};
}

}  // namespace

Run declare_tenant_apply(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    app.add_option("FILE", flags->file, "instead of the tenants.toml in use");
    app.add_flag("--dry-run", flags->dry_run, "show the difference, change nothing");
    app.add_flag("--prune", flags->prune, "remove tenants that are not in the file");
    app.add_flag("--confirm", flags->confirm, "yes, erase the data of pruned tenants");
    return [flags](Console& console) { return apply(console, *flags); };
}

}  // namespace mt::app
