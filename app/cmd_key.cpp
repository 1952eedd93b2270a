// key create | list | revoke | rotate

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "api/json_views.h"
#include "app/command.h"
#include "app/workspace.h"
#include "base/units.h"

namespace mt::app {
namespace {

using api::Json;

struct CreateFlags {
    std::string tenant;
    std::string name;
    std::string expires;
    std::string operator_name;
    bool read_only = false;
};

void show_new_key(const Console& console, const Workspace& workspace, const NewKey& key, const std::string& note) {
    if (console.json()) {
        console.print_json(api::new_key_json(key, workspace.clock.wall()));
        return;
    }
    console.note(note);
    console.print(key.text);
}

Result<KeyRequest> key_request(const CreateFlags& flags) {
    if (flags.tenant.empty() == flags.operator_name.empty()) {
        return Error{Code::invalid, "name a tenant, or an operator with --operator NAME"};
    }
    if (flags.read_only && flags.operator_name.empty()) {
        return Error{Code::invalid, "--read-only is for operators' keys"};
    }
    KeyRequest request;
    request.tenant = flags.tenant;
    request.name = flags.operator_name.empty() ? flags.name : flags.operator_name;
    request.read_only = flags.read_only;
    if (!flags.expires.empty()) {
        Result<std::chrono::milliseconds> period = parse_duration(flags.expires);
        if (!period) {
            return Error{Code::invalid, "--expires: " + period.error().message};
        }
        request.expires_in = *period;
    }
    return request;
}

Result<void> create(const Console& console, const CreateFlags& flags) {
    Result<KeyRequest> request = key_request(flags);
    if (!request) {
        return std::move(request).error();
    }
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, request->tenant.empty());
    if (!workspace) {
        return std::move(workspace).error();
    }
    Result<NewKey> key = (*workspace)->catalog->create_key(*request, system_user());
    if (!key) {
        return std::move(key).error();
    }
    show_new_key(console, **workspace, *key,
                 fmt::format("key {} is made. Its text, shown this once:", key->record.key_id));
    return {};
}

Result<void> list(const Console& console, const std::string& tenant) {
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    Catalog& catalog = *(*workspace)->catalog;
    if (!tenant.empty()) {
        if (Result<TenantRecord> record = catalog.tenant(tenant); !record) {
            return std::move(record).error();
        }
    }
    Result<std::vector<KeyRecord>> keys = catalog.keys(tenant);
    if (!keys) {
        return std::move(keys).error();
    }
    const WallTime now = (*workspace)->clock.wall();
    Json json = Json::array();
    std::vector<std::vector<std::string>> rows{{"KEY ID", "NAME", "STATUS", "CREATED", "EXPIRES"}};
    for (const KeyRecord& key : *keys) {
        json.push_back(api::key_json(key, now));
        rows.push_back({key.key_id, key.name, json.back()["status"].get<std::string>(), format_rfc3339(key.created),
                        key.expires ? format_rfc3339(*key.expires) : "never"});
    }
    console.json() ? console.print_json(json) : console.print(table(rows));
    return {};
}

Result<void> revoke(const Console& console, const std::string& key_id) {
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    Result<KeyRecord> key = (*workspace)->catalog->revoke_key(key_id, system_user());
    if (!key) {
        return std::move(key).error();
    }
    if (console.json()) {
        console.print_json(api::key_json(*key, (*workspace)->clock.wall()));
    } else {
        console.note(fmt::format("key {} is revoked", key_id));
    }
    return {};
}

struct RotateFlags {
    std::string key_id;
    std::string grace = "0s";
};

Result<void> rotate(const Console& console, const RotateFlags& flags) {
    Result<std::chrono::milliseconds> grace = parse_duration(flags.grace);
    if (!grace) {
        return Error{Code::invalid, "--grace: " + grace.error().message};
    }
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    Result<NewKey> key = (*workspace)->catalog->rotate_key(flags.key_id, *grace, system_user());
    if (!key) {
        return std::move(key).error();
    }
    show_new_key(console, **workspace, *key,
                 fmt::format("key {} ends in {}; {} takes its place. Its text, shown this once:", flags.key_id,
                             format_duration(*grace), key->record.key_id));
    return {};
}

}  // namespace

Run declare_key_create(CLI::App& app) {
    auto flags = std::make_shared<CreateFlags>();
    app.add_option("TENANT", flags->tenant, "whose key");
    app.add_option("--name", flags->name, "what it is for")->type_name("NAME");
    app.add_option("--expires", flags->expires, "how long it is good, such as 90d; default: for ever")
        ->type_name("DURATION");
    app.add_option("--operator", flags->operator_name, "an operator's key of this name")->type_name("NAME");
    app.add_flag("--read-only", flags->read_only, "an operator's key that may look, not change");
    return [flags](Console& console) { return create(console, *flags); };
}

Run declare_key_list(CLI::App& app) {
    auto tenant = std::make_shared<std::string>();
    app.add_option("TENANT", *tenant, "whose keys; default: the operators'");
    return [tenant](Console& console) { return list(console, *tenant); };
}

Run declare_key_revoke(CLI::App& app) {
    auto key_id = std::make_shared<std::string>();
    app.add_option("KEY_ID", *key_id, "the 12 characters after mta_")->required();
    return [key_id](Console& console) { return revoke(console, *key_id); };
}

Run declare_key_rotate(CLI::App& app) {
    auto flags = std::make_shared<RotateFlags>();
    app.add_option("KEY_ID", flags->key_id, "the 12 characters after mta_")->required();
    app.add_option("--grace", flags->grace, "how long the old key goes on; default: not at all")->type_name("DURATION");
    return [flags](Console& console) { return rotate(console, *flags); };
}

}  // namespace mt::app
