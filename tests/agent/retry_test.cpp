#include "agent/retry.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace {

using mt::backoff;
using mt::RetrySettings;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

// 1994-11-06T08:49:27Z, ten seconds before the example of RFC 9110.
const mt::WallTime k_now{milliseconds{784'111'767'000}};

std::optional<nanoseconds> asked(std::string_view retry_after, std::string_view retry_after_ms = "") {
    return mt::parse_retry_after(retry_after, retry_after_ms, k_now);
}

}  // namespace

TEST_CASE("waits double up to a bound, with jitter over the upper half") {
    const RetrySettings settings;
    CHECK(backoff(settings, 0, 0) == milliseconds{125});
    CHECK(backoff(settings, 0, 0.5) == nanoseconds{187'500'000});
    CHECK(backoff(settings, 1, 0) == milliseconds{250});
    CHECK(backoff(settings, 4, 0) == milliseconds{2000});
    CHECK(backoff(settings, 5, 0) == milliseconds{4000});
    for (int retry = 0; retry < 200; ++retry) {
        for (const double random : {0.0, 0.3, 0.999}) {
            const nanoseconds wait = backoff(settings, retry, random);
            CHECK(wait >= milliseconds{125});
            CHECK(wait < settings.longest);
            CHECK(wait >= backoff(settings, retry, 0));
            CHECK(wait < 2 * backoff(settings, retry, 0));
        }
    }
    CHECK(backoff(settings, -1, 0) == milliseconds{125});
}

TEST_CASE("statuses that another attempt may mend") {
    for (int status = 100; status < 700; ++status) {
        const bool worth = status == 408 || status == 409 || status == 429 || status / 100 == 5;
        CHECK(mt::is_worth_retrying(status) == worth);
    }
}

TEST_CASE("Retry-After in seconds, in milliseconds, as a date") {
    CHECK(asked("0") == seconds{0});
    CHECK(asked("120") == seconds{120});
    CHECK(asked(" 7 ") == seconds{7});
    CHECK(asked("0.25") == milliseconds{250});
    CHECK(asked("", "250") == milliseconds{250});
    CHECK(asked("5", "250") == milliseconds{250});
    CHECK(asked("5", "soon") == seconds{5});
    CHECK(asked("Sun, 06 Nov 1994 08:49:37 GMT") == seconds{10});
    CHECK(asked("Sun, 06 Nov 1994 08:49:17 GMT") == seconds{0});
}

TEST_CASE("what is no wait is none") {
    for (const std::string_view text :
         {"", "soon", "-1", "+1", "1s", "1 2", "nan", "inf", "infinity", "1e3", "0x10", ".", "1.2.3",
          "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT!", "1994-11-06T08:49:37Z"}) {
        CAPTURE(text);
        CHECK_FALSE(asked(text));
        CHECK_FALSE(asked("", text));
    }
}

TEST_CASE("no wait is longer than a year, whatever was asked for") {
    constexpr std::chrono::hours k_year{24 * 365};
    CHECK(asked("31535999") == seconds{31'535'999});
    for (const std::string_view text : {"31536000", "9300000000", "99999999999", "1000000000000000000000000000000",
                                        "Fri, 31 Dec 9999 23:59:59 GMT"}) {
        CAPTURE(text);
        CHECK(asked(text) == k_year);
    }
    CHECK(asked("", "1000000000000000000000") == k_year);
}
