#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "app/console.h"
#include "base/result.h"

namespace mt::app {

/// Does a command's work. An error becomes message and exit status.
using Run = std::function<Result<void>(Console&)>;

/// Declares a command's own options and says how to run it.
using Declare = Run (*)(CLI::App&);

/// An option or argument that is given must say something: an unset variable of a script is no value.
inline CLI::Validator not_empty() {
    return {[](std::string& text) { return text.empty() ? std::string("must not be empty") : std::string(); }, ""};
}

// One file each: cmd_<name>.cpp.
Run declare_serve(CLI::App& app);
Run declare_tenant_add(CLI::App& app);
Run declare_tenant_list(CLI::App& app);
Run declare_tenant_config(CLI::App& app);
Run declare_tenant_suspend(CLI::App& app);
Run declare_tenant_resume(CLI::App& app);
Run declare_tenant_remove(CLI::App& app);
Run declare_tenant_apply(CLI::App& app);
Run declare_tenant_history(CLI::App& app);
Run declare_tenant_model_add(CLI::App& app);
Run declare_tenant_model_list(CLI::App& app);
Run declare_tenant_model_remove(CLI::App& app);
Run declare_key_create(CLI::App& app);
Run declare_key_list(CLI::App& app);
Run declare_key_revoke(CLI::App& app);
Run declare_key_rotate(CLI::App& app);
Run declare_ask(CLI::App& app);
Run declare_stats(CLI::App& app);
Run declare_stats_export(CLI::App& app);
Run declare_bench(CLI::App& app);
Run declare_ping(CLI::App& app);
Run declare_check(CLI::App& app);

}  // namespace mt::app
