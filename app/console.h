#pragma once

#include <string>
#include <string_view>

#include "api/reply.h"
#include "base/result.h"
#include "config/config.h"

namespace mt::app {

/// The flags that every command takes, before or after its name.
struct Globals {
    std::string config;
    std::string data;
    bool json = false;
    bool quiet = false;
    bool no_color = false;
};

/// Where a command talks: data on standard output, messages on standard error. Not thread-safe.
class Console {
  public:
    explicit Console(const Globals& globals) : m_globals(globals) {}

    /// Data for a program or a person.
    void print(std::string_view text) const;
    void print_json(const api::Json& json) const;
    /// A word to the person at the terminal; silent with --quiet.
    void note(std::string_view text) const;

    [[nodiscard]] bool json() const { return m_globals.json; }
    /// True when standard error is a terminal that may be animated.
    [[nodiscard]] bool animated() const;
    [[nodiscard]] const Globals& globals() const { return m_globals; }

    /// Configuration by flags, environment and file. Errors: config.
    [[nodiscard]] Result<Config> load(const std::string& listen = {}) const;

  private:
    const Globals& m_globals;
};

/// Tells an error on standard error: "mtagent: ..." or, with `json`, {"error":{"code","message"}}. Returns the exit
/// status.
int report(const Error& error, bool json);

/// Columns for a person, as wide as needed; the first row is the head.
std::string table(const std::vector<std::vector<std::string>>& rows);

/// The person or service at the command line, for the audit: the system user's name.
std::string system_user();

/// An environment variable.
std::optional<std::string> environment(const std::string& name);

}  // namespace mt::app
