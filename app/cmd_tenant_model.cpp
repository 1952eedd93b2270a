// tenant model add | list | remove

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <utility>

#include "api/json_views.h"
#include "app/command.h"
#include "app/workspace.h"
#include "base/text.h"
#include "config/secrets.h"
#include "tenant/own_model.h"

namespace mt::app {
namespace {

using api::Json;

struct AddFlags {
    std::string tenant;
    std::string key_file;
    OwnModel model;
    bool replace = false;
};

// The first line of a file, or of standard input.
Result<std::string> read_key(const std::string& file) {
    std::ifstream in;
    const bool standard = file == "-";
    if (!standard) {
        in.open(file, std::ios::binary);
    }
    std::string line;
    std::getline(standard ? std::cin : in, line);
    if ((!standard && !in.is_open()) || in.bad()) {
        return Error{Code::failed, fmt::format("--key-file: {} cannot be read", quote(file))};
    }
    Result<std::string> key = parse_api_key(line);
    return key ? key : Error{key.error().code, fmt::format("--key-file: {}", key.error().message)};
}

Result<void> add(const Console& console, AddFlags flags) {
    if (!flags.key_file.empty()) {
        Result<std::string> key = read_key(flags.key_file);
        if (!key) {
            return std::move(key).error();
        }
        flags.model.api_key = *std::move(key);
    }
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    const std::function<Result<SecretBox>()> secret_box = [&] { return (*workspace)->secret_box(); };
    const OwnModelParts parts{*(*workspace)->catalog, (*workspace)->config, secret_box, (*workspace)->clock.wall()};
    Result<TenantModel> model = add_own_model(parts, flags.tenant, flags.model, flags.replace, system_user());
    if (!model) {
        return std::move(model).error();
    }
    if (console.json()) {
        console.print_json(api::own_model_json(*model));
    } else {
        console.note(fmt::format("tenant '{}' has the model '{}' now: {} at {}", flags.tenant, model->name,
                                 model->model, model->base_url));
    }
    return {};
}

Result<void> list(const Console& console, const std::string& tenant) {
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    Result<TenantRecord> record = (*workspace)->catalog->tenant(tenant);
    if (!record) {
        return std::move(record).error();
    }
    Json json = Json::array();
    std::vector<std::vector<std::string>> rows{{"NAME", "BASE URL", "MODEL", "KEY", "CREATED"}};
    for (const TenantModel& model : record->models) {
        json.push_back(api::own_model_json(model));
        rows.push_back({model.name, model.base_url, model.model, model.sealed_key.empty() ? "no" : "yes",
                        format_rfc3339(model.created)});
    }
    console.json() ? console.print_json(json) : console.print(table(rows));
    return {};
}

Result<void> remove(const Console& console, const std::string& tenant, const std::string& name) {
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    if (Result<TenantRecord> record = (*workspace)->catalog->remove_model(tenant, name, system_user()); !record) {
        return std::move(record).error();
    }
    if (console.json()) {
        console.print_json({{"tenant", tenant}, {"name", name}, {"status", "removed"}});
    } else {
        console.note(fmt::format("tenant '{}' has the model '{}' no more", tenant, name));
    }
    return {};
}

}  // namespace

Run declare_tenant_model_add(CLI::App& app) {
    auto flags = std::make_shared<AddFlags>();
    app.add_option("ID", flags->tenant, "tenant; it needs the feature custom-models")->required();
    app.add_option("NAME", flags->model.name, "what the tenant calls the model")->required();
    app.add_option("--base-url", flags->model.base_url, "what comes before /chat/completions")
        ->type_name("URL")
        ->required()
        ->check(not_empty());
    app.add_option("--model", flags->model.model, "its name at that server")
        ->type_name("MODEL")
        ->required()
        ->check(not_empty());
    app.add_option("--key-file", flags->key_file, "file whose first line is its key; -: standard input")
        ->type_name("FILE")
        ->check(not_empty());
    app.add_flag("--replace", flags->replace, "take the place of a model with this name");
    return [flags](Console& console) { return add(console, *flags); };
}

Run declare_tenant_model_list(CLI::App& app) {
    auto tenant = std::make_shared<std::string>();
    app.add_option("ID", *tenant, "tenant")->required();
    return [tenant](Console& console) { return list(console, *tenant); };
}

Run declare_tenant_model_remove(CLI::App& app) {
    auto tenant = std::make_shared<std::string>();
    auto name = std::make_shared<std::string>();
    app.add_option("ID", *tenant, "tenant")->required();
    app.add_option("NAME", *name, "model")->required();
    return [tenant, name](Console& console) { return remove(console, *tenant, *name); };
}

}  // namespace mt::app
