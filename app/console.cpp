#include "app/console.h"

#include <fmt/core.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "base/text.h"

namespace mt::app {
namespace {

void write(std::FILE* out, std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), out);
    if (!text.ends_with('\n')) {
        std::fputc('\n', out);
    }
    std::fflush(out);
}

std::optional<std::string> if_given(const std::string& flag) {
    return flag.empty() ? std::nullopt : std::optional(flag);
}

}  // namespace

void Console::print(std::string_view text) const {
    write(stdout, text);
}

void Console::print_json(const api::Json& json) const {
    write(stdout, json.dump(2, ' ', false, api::Json::error_handler_t::replace));
}

void Console::print_json_line(const api::Json& json) const {
    write(stdout, json.dump(-1, ' ', false, api::Json::error_handler_t::replace));
}

void Console::note(std::string_view text) const {
    if (!m_globals.quiet) {
        write(stderr, text);
    }
}

bool Console::animated() const {
    return !m_globals.quiet && !m_globals.no_color && !environment("NO_COLOR") && isatty(STDERR_FILENO) == 1;
}

bool Console::to_person() {
    return isatty(STDOUT_FILENO) == 1;
}

bool Console::drawn() const {
    return !m_globals.no_color && !environment("NO_COLOR") && to_person();
}

Result<Config> Console::load(const std::string& listen) const {
    return load_config({if_given(m_globals.config), if_given(m_globals.data), if_given(listen), environment});
}

int report(const Error& error, bool json) {
    const CodeInfo& info = describe(error.code);
    // Whoever sits here is the operator.
    const std::string message =
        error.detail.empty() ? error.message : fmt::format("{} ({})", error.message, error.detail);
    if (json) {
        const api::Json body{{"error", {{"code", info.name}, {"message", message}}}};
        write(stderr, body.dump(-1, ' ', false, api::Json::error_handler_t::replace));
    } else {
        write(stderr, fmt::format("mtagent: {}", message));
    }
    return info.exit_status;
}

std::string table(const std::vector<std::vector<std::string>>& rows, const NumberColumns& numbers) {
    std::vector<std::size_t> widths;
    for (const std::vector<std::string>& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) {
            widths[i] = std::max(widths[i], row[i].size());
        }
    }
    std::string text;
    for (const std::vector<std::string>& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            text += i == 0 ? "" : "  ";
            if (i >= numbers.first && i < numbers.first + numbers.count) {
                text += fmt::format("{:>{}}", row[i], widths[i]);
            } else {
                text += i + 1 < row.size() ? fmt::format("{:<{}}", row[i], widths[i]) : row[i];
            }
        }
        text += "\n";
    }
    return text;
}

std::string system_user() {
    std::array<char, 4096> buffer{};
    passwd entry{};
    passwd* found = nullptr;
    if (getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
        return entry.pw_name;
    }
    return fmt::format("uid {}", geteuid());
}

std::optional<std::string> environment(const std::string& name) {
    const char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): nobody changes the environment
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace mt::app
