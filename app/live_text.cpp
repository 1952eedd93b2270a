#include "app/live_text.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <utility>

namespace mt::app {
namespace {

// ECMA-48 control sequences.
constexpr std::string_view k_no_wrap = "\x1b[?7l";  // a line that is too long would take two rows
constexpr std::string_view k_wrap = "\x1b[?7h";
constexpr std::string_view k_clear_line_end = "\x1b[K";
constexpr std::string_view k_clear_below = "\x1b[J";

// The cursor needs the last row.
void fit(std::vector<std::string>& lines, std::size_t height) {
    constexpr std::size_t k_least_rows = 5;
    if (height < k_least_rows || lines.size() < height) {
        return;
    }
    const std::size_t kept = height - 3;
    const std::size_t left_out = lines.size() - kept - 1;
    std::string last = std::move(lines.back());
    lines.resize(kept);
    lines.push_back(fmt::format("... {} more", left_out));
    lines.push_back(std::move(last));
}

}  // namespace

std::string LiveText::next(std::vector<std::string> lines, std::size_t height) {
    fit(lines, height);
    std::string text(k_no_wrap);
    if (m_drawn > 0) {
        text += fmt::format("\x1b[{}A\r", m_drawn);
    }
    for (std::size_t i = 0; i < lines.size(); ++i) {
        text.append(lines[i]).append(i + 1 < lines.size() ? k_clear_line_end : k_clear_below);
        text.append(i + 1 < lines.size() ? "" : k_wrap).append("\n");
    }
    m_drawn = lines.size();
    return text;
}

std::size_t terminal_height() {
    winsize size{};
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): the interface of the system
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
}

}  // namespace mt::app
