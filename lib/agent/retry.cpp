#include "agent/retry.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <string>

#include "base/text.h"

namespace mt {
namespace {

// A number from 0 to a year of milliseconds.
std::optional<double> parse_number(std::string_view text) {
    constexpr double k_most = 86'400e3 * 365;
    double number = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = !text.empty() && fault == std::errc{} && end == text.data() + text.size();
    return whole && number >= 0 ? std::optional(std::min(number, k_most)) : std::nullopt;
}

// "Sun, 06 Nov 1994 08:49:37 GMT".
std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text) {
    std::tm parts{};
    const std::string copy(text);
    const char* end = strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    if (end == nullptr || *end != '\0') {
        return std::nullopt;
    }
    return std::chrono::sys_seconds{std::chrono::seconds{timegm(&parts)}};
}

}  // namespace

std::chrono::nanoseconds backoff(const RetrySettings& settings, int retry, double random) {
    const double full = std::min(static_cast<double>(std::chrono::nanoseconds{settings.longest}.count()),
                                 static_cast<double>(std::chrono::nanoseconds{settings.first}.count()) *
                                     static_cast<double>(std::int64_t{1} << std::clamp(retry, 0, 30)));
    return std::chrono::nanoseconds{static_cast<std::int64_t>(full * (0.5 + random / 2))};
}

bool is_worth_retrying(int status) {
    return status == 408 || status == 409 || status == 429 || (status >= 500 && status <= 599);
}

std::optional<std::chrono::nanoseconds> parse_retry_after(std::string_view retry_after, std::string_view retry_after_ms,
                                                          WallTime now) {
    if (const std::optional<double> milliseconds = parse_number(trim(retry_after_ms))) {
        return std::chrono::nanoseconds{static_cast<std::int64_t>(*milliseconds * 1e6)};
    }
    if (const std::optional<double> seconds = parse_number(trim(retry_after))) {
        return std::chrono::nanoseconds{static_cast<std::int64_t>(*seconds * 1e9)};
    }
    if (const auto date = parse_http_date(trim(retry_after))) {
        return std::max(std::chrono::nanoseconds{0}, std::chrono::nanoseconds{*date - now});
    }
    return std::nullopt;
}

}  // namespace mt
