#include "base/log.h"

#include <fmt/core.h>
#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/text.h"

namespace mt {
namespace {

constexpr std::array<std::string_view, 5> k_names{"debug", "info", "warning", "error", "off"};

spdlog::level::level_enum to_spdlog(LogLevel level) {
    constexpr std::array k_levels{spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err,
                                  spdlog::level::off};
    return k_levels[static_cast<std::size_t>(level)];
}

// A JSON string body (RFC 8259 section 7): quotes, backslashes and control characters escaped.
std::string escape_json(std::string_view raw) {
    const std::string quoted = is_utf8(raw) ? std::string{} : quote(raw);
    const std::string_view text = quoted.empty() ? raw : std::string_view(quoted);
    std::string escaped;
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            escaped += '\\';
            escaped += c;
        } else if (static_cast<unsigned char>(c) < 0x20U) {
            escaped += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
            escaped += c;
        }
    }
    return escaped;
}

// For a terminal: what could move the cursor or forge a line is shown in quotes.
std::string plain(std::string_view text) {
    const bool harmless = is_utf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
                              return static_cast<unsigned char>(c) < 0x20U || c == 0x7F;
                          });
    return harmless ? std::string(text) : quote(text);
}

}  // namespace

struct Log::Sink {
    spdlog::logger logger;
    bool json;
    std::mutex mutex{};        ///< from asking for room until the line is out
    std::int64_t dropped = 0;  ///< lines since the last one that was written
};

namespace {

// A pipe or socket whose reader is stuck has no room; one line always fits where there is some (pipe(7)).
bool has_room(int fd) {
    pollfd waiting{fd, POLLOUT, 0};
    return poll(&waiting, 1, 0) != 0;
}

}  // namespace

Log::Log(LogLevel level) {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    const bool terminal = isatty(STDERR_FILENO) == 1;
    m_sink.reset(new Sink{spdlog::logger("mtagent", sink), !terminal});  // NOLINT(modernize-make-unique): an aggregate
    m_sink->logger.set_pattern(terminal ? "%H:%M:%S.%e %l %v" : R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})",
                               spdlog::pattern_time_type::utc);
    m_sink->logger.set_level(to_spdlog(level));
    m_sink->logger.flush_on(spdlog::level::debug);
}

Log::~Log() = default;

void Log::write(LogLevel level, std::string_view message, std::span<const LogField> fields) {
    if (!m_sink->logger.should_log(to_spdlog(level))) {
        return;
    }
    std::string line = m_sink->json ? fmt::format("\"message\":\"{}\"", escape_json(message)) : plain(message);
    for (const LogField& field : fields) {
        line += m_sink->json ? fmt::format(",\"{}\":", field.name) : fmt::format(" {}=", field.name);
        if (const auto* text = std::get_if<std::string_view>(&field.value)) {
            line += m_sink->json ? fmt::format("\"{}\"", escape_json(*text)) : plain(*text);
        } else if (const auto* number = std::get_if<std::int64_t>(&field.value)) {
            line += fmt::format("{}", *number);
        } else {
            line += fmt::format("{:.3f}", std::get<double>(field.value));
        }
    }
    const std::lock_guard lock(m_sink->mutex);
    if (!has_room(STDERR_FILENO)) {
        ++m_sink->dropped;
        return;
    }
    if (const std::int64_t lost = std::exchange(m_sink->dropped, 0); lost > 0) {
        const std::string note = fmt::format("{} lines of the log are lost: nobody read it", lost);
        m_sink->logger.log(spdlog::level::warn, "{}", m_sink->json ? fmt::format("\"message\":\"{}\"", note) : note);
    }
    m_sink->logger.log(to_spdlog(level), "{}", line);
}

void Log::set_level(LogLevel level) {
    m_sink->logger.set_level(to_spdlog(level));
}

Result<LogLevel> parse_log_level(std::string_view text) {
    for (std::size_t i = 0; i < k_names.size(); ++i) {
        if (k_names[i] == text) {
            return static_cast<LogLevel>(i);
        }
    }
    return Error{Code::invalid, fmt::format("{} is no log level: use debug, info, warning, error or off", quote(text))};
}

}  // namespace mt
