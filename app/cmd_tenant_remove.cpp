#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "app/command.h"
#include "app/removal.h"
#include "app/workspace.h"

namespace mt::app {
namespace {

constexpr std::chrono::seconds k_patience{10};

struct Flags {
    std::string id;
    std::string confirm;
};

Result<void> remove(const Console& console, const Flags& flags) {
    if (flags.confirm != flags.id) {
        return Error{Code::invalid, fmt::format("removing erases all data of '{0}': say --confirm {0}", flags.id)};
    }
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    if (Result<void> removed = remove_tenant(**workspace, flags.id, k_patience); !removed) {
        return removed;
    }
    if (console.json()) {
        console.print_json({{"id", flags.id}, {"status", "removed"}});
    } else {
        console.note(fmt::format("tenant '{}' is removed", flags.id));
    }
    return {};
}

}  // namespace

Run declare_tenant_remove(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    app.add_option("ID", flags->id, "tenant")->required();
    app.add_option("--confirm", flags->confirm, "the id once more")->type_name("ID");
    return [flags](Console& console) { return remove(console, *flags); };
}

}  // namespace mt::app
