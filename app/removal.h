#pragma once

#include <chrono>
#include <string>

#include "app/workspace.h"

namespace mt::app {

/// Removes a tenant: marks it, then waits until the server on this folder has erased it, or erases it here when there
/// is none. Errors: not_found, busy (its last calls still run after `patience`), what the files say.
Result<void> remove_tenant(Workspace& workspace, const std::string& id, std::chrono::milliseconds patience);

}  // namespace mt::app
