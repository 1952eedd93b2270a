#include <doctest/doctest.h>

#include <set>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/text.h"
#include "base/units.h"
#include "support/fake_clock.h"

using namespace mt;
using namespace std::chrono_literals;

TEST_CASE("tenant ids: what is allowed and what is not") {
    for (const char* good : {"a", "acme", "tenant-basic", "0", "a_b-c", "9lives"}) {
        CHECK_MESSAGE(check_tenant_id(good), good);
    }
    CHECK(check_tenant_id(std::string(48, 'a')));
    CHECK_FALSE(check_tenant_id(std::string(49, 'a')));
    for (const char* bad : {"", "..", "a/b", "/", "Acme", "-a", "_a", "a b", "a.b", "\xc3\xa4", "a%00"}) {
        CHECK_MESSAGE(!check_tenant_id(bad), bad);
    }
    CHECK_FALSE(check_tenant_id(std::string("a\0b", 3)));
    for (const char* word :
         {"v1", "stats", "metrics", "health", "livez", "readyz", "admin", "dashboard", "a2a", "mcp", "tenants"}) {
        CHECK_MESSAGE(!check_tenant_id(word), word);
    }
}

TEST_CASE("an error message never carries raw bytes of the input") {
    const Result<void> refused = check_tenant_id("\x1b[31m\n");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find('\x1b') == std::string::npos);
    CHECK(refused.error().message.find('\n') == std::string::npos);
}

TEST_CASE("every code has a row in the table, under its own name") {
    std::set<std::string_view> names;
    for (int i = 0; i <= static_cast<int>(Code::failed); ++i) {
        const CodeInfo& info = describe(static_cast<Code>(i));
        CHECK(static_cast<int>(info.code) == i);
        CHECK(names.insert(info.name).second);
        CHECK(info.http_status >= 400);
        CHECK(info.exit_status > 0);
    }
    CHECK(describe(Code::timeout).http_status == 504);
    CHECK(describe(Code::storage_full).http_status == 507);
    CHECK(describe(Code::not_found).exit_status == 3);
    CHECK(describe(Code::already_exists).exit_status == 4);
}

TEST_CASE("SHA-256 of a known text (FIPS 180-4 example)") {
    CHECK(to_hex(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(parse_sha256(to_hex(sha256("abc"))).has_value());
    CHECK_FALSE(parse_sha256("ba78"));
    CHECK_FALSE(parse_sha256(std::string(64, 'g')));
}

TEST_CASE("random texts have their length and alphabet, and differ") {
    CHECK(random_hex(16).size() == 32);
    CHECK(random_hex(16) != random_hex(16));
    const std::string text = random_base32(12);
    CHECK(text.size() == 12);
    CHECK(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz234567") == std::string::npos);
}

TEST_CASE("comparing in constant time tells equal from different") {
    CHECK(equal_in_constant_time(std::string_view("key"), std::string_view("key")));
    CHECK_FALSE(equal_in_constant_time(std::string_view("key"), std::string_view("kez")));
    CHECK_FALSE(equal_in_constant_time(std::string_view("key"), std::string_view("key2")));
}

TEST_CASE("UTF-8: well-formed and not (RFC 3629)") {
    for (const char* good : {"", "abc", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"}) {
        CHECK_MESSAGE(is_utf8(good), good);
    }
    for (const char* bad :
         {"\xff", "\xc0\x80", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "a\xc3z"}) {
        CHECK_MESSAGE(!is_utf8(bad), quote(bad));
    }
}

TEST_CASE("the nearest word is suggested, and none when none is near") {
    constexpr std::array<std::string_view, 3> k_words{"rate_limit", "burst", "cache_size"};
    CHECK(nearest("rate_limt", k_words) == "rate_limit");
    CHECK(nearest("ratelimit", k_words) == "rate_limit");
    CHECK(nearest("zzzzzz", k_words).empty());
    CHECK(suggestion("brust", k_words) == " (did you mean 'burst'?)");
}

TEST_CASE("lists, trimming and case") {
    CHECK(split_list(" a, b ,,c ") == std::vector<std::string>{"a", "b", "c"});
    CHECK(split_list("").empty());
    CHECK(trim(" \t a b \r\n") == "a b");
    CHECK(to_lower("ABC-x") == "abc-x");
    CHECK(join(std::vector<std::string>{"a", "b"}, ", ") == "a, b");
}

TEST_CASE("durations: read, written, refused") {
    CHECK(*parse_duration("250ms") == 250ms);
    CHECK(*parse_duration("1.5s") == 1500ms);
    CHECK(*parse_duration("5m") == 5min);
    CHECK(*parse_duration("90d") == 90 * 24h);
    CHECK(*parse_duration("7") == 7s);
    for (const char* bad : {"", "s", "-1s", "1e3s", "1.2.3s", "5 years", "99999999999d", "nan", "inf"}) {
        CHECK_MESSAGE(!parse_duration(bad), bad);
    }
    for (const auto duration : {0ms, 1ms, 1500ms, 60'000ms, 300'000ms, 86'400'000ms, 90'061'001ms}) {
        CHECK(*parse_duration(format_duration(duration)) == duration);
    }
    CHECK(format_duration(5min) == "5m");
}

TEST_CASE("sizes, integers and shares") {
    CHECK(*parse_size("1GB") == 1'000'000'000);
    CHECK(*parse_size("64KiB") == 65536);
    CHECK(*parse_size("12") == 12);
    CHECK_FALSE(parse_size("-1"));
    CHECK_FALSE(parse_size("10 bananas"));
    CHECK(format_size(1'000'000'000) == "1.0 GB");
    CHECK(format_size(512) == "512 B");
    CHECK(*parse_integer("-42") == -42);
    CHECK_FALSE(parse_integer("9223372036854775808"));
    CHECK_FALSE(parse_integer("1x"));
    CHECK(*parse_ratio("0.1%") == doctest::Approx(0.001));
    CHECK(*parse_ratio("0.5") == doctest::Approx(0.5));
    CHECK_FALSE(parse_ratio("101%"));
}

TEST_CASE("times are written as RFC 3339 and read back") {
    const test::FakeClock clock;
    CHECK(format_rfc3339(clock.wall()) == "2026-11-23T00:00:00.000Z");
    CHECK(*parse_rfc3339("2026-11-23T00:00:00.000Z") == clock.wall());
    CHECK(*parse_rfc3339("1999-12-31T23:59:59.999Z") + 1ms == *parse_rfc3339("2000-01-01T00:00:00.000Z"));
    for (const char* bad : {"", "2026-11-23", "2026-13-01T00:00:00.000Z", "2026-11-23T00:00:00.000", "x"}) {
        CHECK_MESSAGE(!parse_rfc3339(bad), bad);
    }
}

TEST_CASE("the system's clocks run") {
    const SystemClock clock;
    const std::int64_t before = clock.boot_ns();
    CHECK(clock.boot_ns() >= before);
    CHECK(clock.wall() > WallTime{std::chrono::seconds{1'700'000'000}});
}

TEST_CASE("a Result is a value or an error") {
    const Result<int> good = 7;
    const Result<int> bad = Error{Code::invalid, "no"};
    CHECK(good);
    CHECK(*good == 7);
    REQUIRE_FALSE(bad);
    CHECK(bad.error().message == "no");
    const Result<void> done;
    CHECK(done);
    const Result<void> failed = Error{Code::busy, "later"};
    CHECK_FALSE(failed);
}
