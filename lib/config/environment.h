#pragma once

#include <functional>
#include <optional>
#include <string>

namespace mt {

/// Reads an environment variable, nothing when it is not set. Tests pass their own. Empty: nothing is set.
using Environment = std::function<std::optional<std::string>(const std::string&)>;

}  // namespace mt
