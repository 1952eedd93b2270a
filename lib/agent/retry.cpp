#include "agent/retry.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <string>

#include "base/text.h"

namespace mt {
namespace {

// Nobody waits longer, and nanoseconds of much more would not fit.
constexpr std::chrono::hours k_year{24 * 365};

// "2", "0.5": so many units of `unit_ns` nanoseconds, at most a year.
std::optional<std::chrono::nanoseconds> parse_wait(std::string_view text, double unit_ns) {
    constexpr auto k_most = static_cast<double>(std::chrono::nanoseconds{k_year}.count());
    double number = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    const bool whole = fault == std::errc{} && end == text.data() + text.size();
    if (!whole || text.find_first_not_of("0123456789.") != std::string_view::npos) {
        return std::nullopt;
    }
    return std::chrono::nanoseconds{static_cast<std::int64_t>(std::min(number * unit_ns, k_most))};
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
    if (const auto wait = parse_wait(trim(retry_after_ms), 1e6)) {
        return wait;
    }
    if (const auto wait = parse_wait(trim(retry_after), 1e9)) {
        return wait;
    }
    if (const auto date = parse_http_date(trim(retry_after))) {
        return std::clamp(*date - now, std::chrono::milliseconds{0}, std::chrono::milliseconds{k_year});
    }
    return std::nullopt;
}

}  // namespace mt
