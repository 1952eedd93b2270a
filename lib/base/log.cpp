#include "base/log.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <string>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/line_writer.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr std::array<std::string_view, 5> k_names{"debug", "info", "warning", "error", "off"};
constexpr std::chrono::milliseconds k_patience{2000};
constexpr std::size_t k_kept = std::size_t{64} << 10U;  // a thread's line that grew beyond it is given back

// The text of a second, "2026-11-23T15:13:27": most lines of a thread are of the second of the line before.
class SecondText {
  public:
    std::string_view of(std::chrono::sys_seconds second) {
        if (second != m_second) {
            const std::time_t time = second.time_since_epoch().count();
            std::tm parts{};
            gmtime_r(&time, &parts);
            m_size = std::strftime(m_text.data(), m_text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
            m_second = second;
        }
        return {m_text.data(), m_size};
    }

  private:
    std::chrono::sys_seconds m_second = std::chrono::sys_seconds::min();
    std::array<char, 32> m_text{};
    std::size_t m_size = 0;
};

void append_time(std::string& out, bool json) {
    thread_local SecondText seconds;
    const WallTime now = SystemClock().wall();
    const auto second = std::chrono::floor<std::chrono::seconds>(now);
    const auto ms = static_cast<int>((now - second).count());
    const std::string_view text = seconds.of(second);
    out += json ? text : text.substr(text.find('T') + 1);
    const std::array<char, 4> fraction{'.', static_cast<char>('0' + ms / 100), static_cast<char>('0' + ms / 10 % 10),
                                       static_cast<char>('0' + ms % 10)};
    out.append(fraction.data(), fraction.size());
}

constexpr std::uint64_t each_byte(unsigned char byte) {
    return std::uint64_t{0x0101010101010101} * byte;
}

// No byte of the eight is above 0x7F, below 0x20, a quote or a backslash: a byte that is less than another, or equal to
// it, is seen by the borrow that its difference takes.
bool is_simple(std::uint64_t bytes) {
    const std::uint64_t quotes = bytes ^ each_byte('"');
    const std::uint64_t backslashes = bytes ^ each_byte('\\');
    const std::uint64_t found =
        bytes | (bytes - each_byte(0x20)) | (quotes - each_byte(1)) | (backslashes - each_byte(1));
    return (found & each_byte(0x80)) == 0;
}

// True when JSON shows `text` as it is; false when it may not.
bool is_simple(std::string_view text) {
    std::uint64_t bytes = 0;
    for (; text.size() >= sizeof bytes; text.remove_prefix(sizeof bytes)) {
        std::memcpy(&bytes, text.data(), sizeof bytes);
        if (!is_simple(bytes)) {
            return false;
        }
    }
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c != '"' && c != '\\'; });
}

// Inside quotes. What is no UTF-8 is shown as in messages.
void append_json(std::string& out, std::string_view text) {
    if (is_simple(text)) {
        out += text;
    } else if (is_utf8(text)) {
        append_json_text(out, text);
    } else {
        append_json_text(out, quote(text));
    }
}

// For a terminal: what could move the cursor or forge a line is shown in quotes.
// U+0080 to U+009F: terminals take them for controls, too.
bool has_c1(std::string_view text) {
    for (std::size_t at = 0; (at = text.find('\xC2', at)) != std::string_view::npos; ++at) {
        if (at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) < 0xA0U) {
            return true;
        }
    }
    return false;
}

void append_plain(std::string& out, std::string_view text) {
    const bool harmless = is_utf8(text) &&
                          std::none_of(text.begin(), text.end(),
                                       [](char c) { return static_cast<unsigned char>(c) < 0x20U || c == 0x7F; }) &&
                          !has_c1(text);
    if (harmless) {
        out += text;
    } else {
        out += quote(text);
    }
}

void append_number(std::string& out, std::int64_t number) {
    std::array<char, 24> digits{};
    const auto end = std::to_chars(digits.begin(), digits.end(), number);
    out.append(digits.data(), end.ptr);
}

void append_number(std::string& out, double number, bool json) {
    if (json && !std::isfinite(number)) {
        out += "null";  // JSON has no other word for it (RFC 8259 section 6)
        return;
    }
    std::array<char, 320> digits{};  // 309 digits are the most before the point
    const auto end = std::to_chars(digits.begin(), digits.end(), number, std::chars_format::fixed, 3);
    out.append(digits.data(), end.ptr);
}

void append_json(std::string& out, const LogField& field) {
    out += ",\"";
    out += field.name;
    if (const auto* text = std::get_if<std::string_view>(&field.value)) {
        out += "\":\"";
        append_json(out, *text);
        out += '"';
        return;
    }
    out += "\":";
    if (const auto* number = std::get_if<std::int64_t>(&field.value)) {
        append_number(out, *number);
    } else {
        append_number(out, std::get<double>(field.value), true);
    }
}

void append_plain(std::string& out, const LogField& field) {
    out += ' ';
    out += field.name;
    out += '=';
    if (const auto* text = std::get_if<std::string_view>(&field.value)) {
        if (text->find(' ') == std::string_view::npos) {
            append_plain(out, *text);
        } else {
            out += quote(*text);  // or a blank in it could begin another field
        }
    } else if (const auto* number = std::get_if<std::int64_t>(&field.value)) {
        append_number(out, *number);
    } else {
        append_number(out, std::get<double>(field.value), false);
    }
}

void append_json_line(std::string& out, LogLevel level, std::string_view message, std::span<const LogField> fields) {
    out += "{\"time\":\"";
    append_time(out, true);
    out += "Z\",\"level\":\"";
    out += k_names[static_cast<std::size_t>(level)];
    out += "\",\"message\":\"";
    append_json(out, message);
    out += '"';
    for (const LogField& field : fields) {
        append_json(out, field);
    }
    out += "}\n";
}

void append_plain_line(std::string& out, LogLevel level, std::string_view message, std::span<const LogField> fields) {
    append_time(out, false);
    out += ' ';
    out += k_names[static_cast<std::size_t>(level)];
    out += ' ';
    append_plain(out, message);
    for (const LogField& field : fields) {
        append_plain(out, field);
    }
    out += '\n';
}

std::string lost_note(bool json, std::int64_t lost) {
    const std::string message = fmt::format("{} lines of the log are lost: nobody read it", lost);
    std::string line;
    (json ? append_json_line : append_plain_line)(line, LogLevel::warning, message, {});
    return line;
}

}  // namespace

Log::Log(LogLevel level)
    : m_level(level),
      m_json(isatty(STDERR_FILENO) != 1),
      m_writer(std::make_unique<LineWriter>(STDERR_FILENO,
                                            [json = m_json](std::int64_t lost) { return lost_note(json, lost); })) {}

Log::~Log() = default;

void Log::write(LogLevel level, std::string_view message, std::span<const LogField> fields) {
    if (level < m_level.load(std::memory_order_relaxed)) {
        return;
    }
    thread_local std::string line;
    line.clear();
    (m_json ? append_json_line : append_plain_line)(line, level, message, fields);
    m_writer->append(line, level >= LogLevel::warning ? LineWriter::Urgency::urgent : LineWriter::Urgency::ordinary);
    if (line.capacity() > k_kept) {
        line = {};
    }
}

void Log::flush() {
    m_writer->flush(k_patience);
}

std::int64_t Log::dropped() const {
    return m_writer->dropped();
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
