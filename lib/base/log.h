#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"

namespace mt {

enum class LogLevel { debug, info, warning, error, off };

/// Where the program tells its operator what happens: one line each on standard error, JSON lines when that is not a
/// terminal. Never a secret, a prompt or an answer. Constructed once by the program and passed down; thread-safe.
class Log {
  public:
    explicit Log(LogLevel level);
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;
    ~Log();

    void debug(std::string_view message) { write(LogLevel::debug, message); }
    void info(std::string_view message) { write(LogLevel::info, message); }
    void warning(std::string_view message) { write(LogLevel::warning, message); }
    void error(std::string_view message) { write(LogLevel::error, message); }

    void write(LogLevel level, std::string_view message);

  private:
    struct Sink;
    std::unique_ptr<Sink> m_sink;
};

/// Reads debug, info, warning, error or off. Errors: invalid.
Result<LogLevel> parse_log_level(std::string_view text);

}  // namespace mt
