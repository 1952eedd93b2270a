#include "app/workspace.h"

#include <fmt/core.h>

#include <utility>

#include "app/open_ledger.h"
#include "base/text.h"
#include "tenant/own_model.h"

namespace mt::app {

SettingsCheck Workspace::check_for(const std::string& id) const {
    const Result<TenantRecord> present = catalog->tenant(id);  // now: while a check runs the catalog is held
    return [this, id, models = present ? own_model_names(*present) : std::vector<std::string>{}](const Settings& own) {
        return config.check(id, own, models);
    };
}

Result<SecretBox> Workspace::secret_box() const {
    return open_secret_box(*backends, folder);
}

Result<std::unique_ptr<Workspace>> open_workspace(const Console& console, bool create) {
    Result<Config> config = console.load();
    if (!config) {
        return std::move(config).error();
    }
    const bool shared = !environment("POSTGRES_URL").value_or("").empty();
    Result<DataFolder> folder = DataFolder::open(config->data, create || shared);
    if (!folder) {
        return std::move(folder).error();
    }
    auto workspace = std::make_unique<Workspace>(*std::move(folder));
    workspace->config = *std::move(config);
    workspace->served = workspace->folder.holder().has_value();
    Result<std::unique_ptr<Backends>> backends = Backends::open(environment, workspace->clock, workspace->log);
    if (!backends) {
        return std::move(backends).error();
    }
    workspace->backends = *std::move(backends);
    workspace->shards = workspace->backends->add_shards(workspace->config, environment);
    workspace->files =
        std::make_unique<TenantFiles>(workspace->folder.tenants(), TenantFiles::Options{128, !workspace->served});
    Result<std::unique_ptr<Catalog>> catalog = open_catalog(*workspace->backends, workspace->folder, *workspace->files,
                                                            workspace->clock, {create, !workspace->served});
    if (!catalog) {
        return std::move(catalog).error();
    }
    workspace->catalog = *std::move(catalog);
    Result<std::unique_ptr<SlotFile>> slots = SlotFile::open_read_only(workspace->folder.slots());
    if (slots) {
        workspace->slots = *std::move(slots);
    } else if (slots.error().code == Code::failed) {
        console.note(slots.error().message + ": numbers are those of the last flush");
    } else if (slots.error().code != Code::not_found) {
        return std::move(slots).error();
    }
    workspace->ledger = read_ledger(*workspace->backends, *workspace->files,
                                    workspace->slots ? workspace->slots->writer() : std::string{}, workspace->clock);
    return workspace;
}

SettingChanges drift(const Settings& present, const Settings& wanted) {
    SettingChanges changes;
    for (const auto& [field, value] : wanted) {
        const auto found = present.find(field);
        if (found == present.end() || found->second != value) {
            changes.emplace(field, value);
        }
    }
    for (const auto& [field, value] : present) {
        const bool pinned = field == "shard";  // by whoever made the tenant: a file that names none leaves it there
        if (wanted.find(field) == wanted.end() && !pinned) {
            changes.emplace(field, std::nullopt);
        }
    }
    return changes;
}

std::string drift_line(const TenantSpec& spec, const TenantRecord& present, const Config& config) {
    std::vector<std::string> fields;
    for (const auto& [field, value] : drift(present.own, spec.own)) {
        fields.push_back(field);
    }
    return fields.empty()
               ? ""
               : fmt::format("tenant '{}' differs from {} in {}", spec.id, config.file.string(), join(fields, ", "));
}

Result<std::vector<std::string>> seed_tenants(Catalog& catalog, const Config& config, std::string_view who) {
    std::vector<std::string> lines;
    for (const TenantSpec& spec : config.tenants) {
        Result<TenantRecord> row = catalog.row(spec.id);
        if (!row && row.error().code == Code::not_found) {
            const auto check = [&](const Settings& own) { return config.check(spec.id, own); };
            Result<TenantRecord> made = catalog.create_tenant(spec.id, config.placed(spec.id, spec.own), check, who);
            if (!made && made.error().code != Code::already_exists) {
                return std::move(made).error();
            }
            lines.push_back(fmt::format("tenant '{}' is created from {}", spec.id, config.file.string()));
            continue;
        }
        if (!row) {
            return std::move(row).error();
        }
        if (row->status == TenantStatus::removing || row->status == TenantStatus::removed) {
            lines.push_back(
                fmt::format("tenant '{}' was removed and is not created again: use `mtagent tenant apply`", spec.id));
            continue;
        }
        Result<TenantRecord> present = catalog.tenant(spec.id);
        if (!present) {  // one tenant's damage does not stop the others
            lines.push_back(fmt::format("tenant '{}' cannot be read: {}", spec.id, present.error().message));
            continue;
        }
        if (const std::string line = drift_line(spec, *present, config); !line.empty()) {
            lines.push_back(line + ": see `mtagent tenant apply --dry-run`");
        }
    }
    return lines;
}

}  // namespace mt::app
