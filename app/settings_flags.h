#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "catalog/catalog.h"

namespace mt::app {

/// Every setting of a tenant as a flag: rate_limit is --rate-limit.
class SettingsFlags {
  public:
    void declare(CLI::App& app);
    /// Errors: invalid.
    [[nodiscard]] Result<Settings> settings() const;

  private:
    std::map<std::string, std::string> m_texts;  // by field name; absent or empty ones were not given
    CLI::App* m_app = nullptr;
};

/// Reads KEY=VALUE words and the names to take back. Errors: invalid (no '=', unknown name with the nearest one,
/// value).
Result<SettingChanges> parse_assignments(const std::vector<std::string>& words, const std::vector<std::string>& unset);

}  // namespace mt::app
