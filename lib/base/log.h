#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <variant>

#include "base/result.h"

namespace mt {

enum class LogLevel { debug, info, warning, error, off };

/// One named value of a log line.
struct LogField {
    std::string_view name;
    std::variant<std::string_view, std::int64_t, double> value;
};

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

    /// One line; the fields follow the message.
    void write(LogLevel level, std::string_view message, std::span<const LogField> fields = {});

    /// Changes the least level from now on.
    void set_level(LogLevel level);

  private:
    struct Sink;
    std::unique_ptr<Sink> m_sink;
};

/// Reads debug, info, warning, error or off. Errors: invalid.
Result<LogLevel> parse_log_level(std::string_view text);

}  // namespace mt
