#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
    /// The same in one line, for one document after the other.
    void print_json_line(const api::Json& json) const;
    /// A word to the person at the terminal; silent with --quiet.
    void note(std::string_view text) const;

    [[nodiscard]] bool json() const { return m_globals.json; }
    /// True when standard error is a terminal that may be animated.
    [[nodiscard]] bool animated() const;
    /// True when standard output is a terminal: a person reads it.
    [[nodiscard]] static bool to_person();
    /// True when standard output is a terminal that may be drawn on.
    [[nodiscard]] bool drawn() const;
    [[nodiscard]] const Globals& globals() const { return m_globals; }

    /// Configuration by flags, environment and file. Errors: config.
    [[nodiscard]] Result<Config> load(const std::string& listen = {}) const;

  private:
    const Globals& m_globals;
};

/// Tells an error on standard error: "mtagent: ..." or, with `json`, {"error":{"code","message"}}. Returns the exit
/// status.
int report(const Error& error, bool json);

/// Which columns of a table are numbers and stand at the right.
struct NumberColumns {
    std::size_t first = 0;
    std::size_t count = 0;
};
/// Columns for a person, as wide as needed; the first row is the head.
std::string table(const std::vector<std::vector<std::string>>& rows, const NumberColumns& numbers = {});

/// The person or service at the command line, for the audit: the system user's name.
std::string system_user();

/// An environment variable.
std::optional<std::string> environment(const std::string& name);

}  // namespace mt::app
