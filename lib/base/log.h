#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <variant>

#include "base/result.h"

namespace mt {

class LineWriter;

enum class LogLevel { debug, info, warning, error, off };

/// One named value of a log line.
struct LogField {
    std::string_view name;
    std::variant<std::string_view, std::int64_t, double> value;
};

/// Where the program tells its operator what happens: one line each on standard error, JSON lines when that is not a
/// terminal. Never a secret, a prompt or an answer. Nobody who logs waits for the reader: lines are written by a thread
/// of the log's own, those below `warning` some milliseconds later, and when the reader is more than 4 MiB behind they
/// are dropped and counted. The destructor writes what is left, for at most two seconds. Constructed once by the
/// program and passed down; thread-safe.
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

    /// One line; the fields follow the message. Names of fields are plain words, values may be anything.
    void write(LogLevel level, std::string_view message, std::span<const LogField> fields = {});

    /// Changes the least level from now on.
    void set_level(LogLevel level) { m_level.store(level, std::memory_order_relaxed); }

    /// Waits until the lines so far are written, two seconds at most.
    void flush();

    /// Lines lost since the start: nobody read them, or they could not be written.
    [[nodiscard]] std::int64_t dropped() const;

  private:
    std::atomic<LogLevel> m_level;
    bool m_json;
    std::unique_ptr<LineWriter> m_writer;
};

/// Reads debug, info, warning, error or off. Errors: invalid.
Result<LogLevel> parse_log_level(std::string_view text);

}  // namespace mt
