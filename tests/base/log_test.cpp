#include "base/log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/text.h"

namespace {

using mt::Log;
using mt::LogField;
using mt::LogLevel;
using Json = nlohmann::json;

struct Descriptors {
    int from = -1;
    int to = -1;
};

Descriptors a_pipe() {
    std::array<int, 2> ends{-1, -1};
    pipe2(ends.data(), O_CLOEXEC);
    return {ends[0], ends[1]};
}

Descriptors a_terminal() {
    const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    std::array<char, 64> name{};
    REQUIRE((grantpt(master) == 0 && unlockpt(master) == 0 && ptsname_r(master, name.data(), name.size()) == 0));
    return {master, open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC)};
}

// Standard error leads elsewhere while this lives; nobody reads it unless told.
class Reader {
  public:
    explicit Reader(Descriptors ends = a_pipe()) : m_before(dup(STDERR_FILENO)), m_ends(ends) {
        REQUIRE(std::min({m_before, ends.from, ends.to}) >= 0);
        dup2(m_ends.to, STDERR_FILENO);
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() {
        close_stderr();
        close(m_ends.from);
    }

    /// Everything that waits.
    [[nodiscard]] std::string read_present() const {
        fcntl(m_ends.from, F_SETFL, O_NONBLOCK);
        return read_all();
    }

    /// Until nobody can write any more.
    [[nodiscard]] std::string read_all() const {
        std::string text;
        std::array<char, 65'536> bytes{};
        for (ssize_t got = 0; (got = read(m_ends.from, bytes.data(), bytes.size())) > 0;) {
            text.append(bytes.data(), static_cast<std::size_t>(got));
        }
        return text;
    }

    /// Standard error is what it was before.
    void close_stderr() {
        if (m_before >= 0) {
            dup2(m_before, STDERR_FILENO);
            close(m_before);
            close(m_ends.to);
            m_before = -1;
        }
    }

  private:
    int m_before;
    Descriptors m_ends;
};

std::vector<Json> parse_lines(const std::string& text) {
    std::vector<Json> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        lines.push_back(Json::parse(line, nullptr, false));
        CHECK_MESSAGE(!lines.back().is_discarded(), line);
    }
    return lines;
}

// What comes of one line, parsed.
Json logged(Log& log, const Reader& reader, std::string_view message, std::vector<LogField> fields = {}) {
    std::string text;
    std::jthread reading([&] {
        while (text.empty() || text.back() != '\n') {
            text += reader.read_present();
            std::this_thread::yield();
        }
    });
    log.write(LogLevel::info, message, fields);
    log.flush();
    reading.join();
    const std::vector<Json> lines = parse_lines(text);
    return lines.size() == 1 ? lines[0] : Json{};
}

std::string shown(const std::string& text) {
    return mt::is_utf8(text) ? text : mt::quote(text);
}

}  // namespace

TEST_CASE("a log that nobody reads keeps nobody waiting, and says later what is missing") {
    const Reader reader;
    Log log(LogLevel::info);
    const std::string line(1000, 'x');
    constexpr std::int64_t k_lines = 10'000;
    for (std::int64_t i = 0; i < k_lines; ++i) {
        log.info(line);  // ten megabytes, of which the log holds a part
    }
    CHECK(log.dropped() > 0);
    std::string text;
    {
        std::atomic<bool> done = false;
        std::jthread reading([&] {
            while (!done) {
                text += reader.read_present();
                std::this_thread::yield();
            }
            text += reader.read_present();
        });
        log.flush();
        log.info("last");
        log.flush();
        done = true;
    }
    const std::vector<Json> lines = parse_lines(text);
    std::int64_t told = 0;
    std::int64_t notes = 0;
    for (const Json& each : lines) {
        const auto message = each["message"].get<std::string>();
        if (each["level"] == "warning") {
            CHECK(message.ends_with(" lines of the log are lost: nobody read it"));
            told += std::stoll(message);
            ++notes;
        }
    }
    CHECK(told == log.dropped());
    CHECK(static_cast<std::int64_t>(lines.size()) - notes + log.dropped() == k_lines + 1);
    REQUIRE(lines.size() > 2);
    CHECK(lines[lines.size() - 2]["level"] == "warning");
    CHECK(lines.back()["message"] == "last");
    log.info("again");
    log.flush();
    CHECK(reader.read_present().find("lost") == std::string::npos);
}

TEST_CASE("the format of a line") {
    const std::vector<LogField> fields{{"tenant", std::string_view("acme")}, {"status", 200}, {"duration_ms", 0.0125}};
    const auto written = [&](const Reader& reader) {
        {
            Log log(LogLevel::debug);
            log.write(LogLevel::info, "call \"x\"", fields);
            log.debug("d");
            log.warning("w\n");
            log.error("e");
        }
        return reader.read_present();
    };
    const mt::WallTime before = mt::SystemClock().wall();
    SUBCASE("a pipe") {
        const std::string text = written(Reader());
        const std::string time = R"x(\{"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)",)x";
        const std::regex wanted(
            time + R"x("level":"info","message":"call \\"x\\"","tenant":"acme","status":200,"duration_ms":0.013\}\n)x" +
            time + R"x("level":"debug","message":"d"\}\n)x" + time + R"x("level":"warning","message":"w\\n"\}\n)x" +
            time + R"x("level":"error","message":"e"\}\n)x");
        std::smatch match;
        REQUIRE_MESSAGE(std::regex_match(text, match, wanted), text);
        const mt::Result<mt::WallTime> told = mt::parse_rfc3339(match[1].str());
        REQUIRE(told);
        CHECK(*told >= before);
        CHECK(*told <= mt::SystemClock().wall());
    }
    SUBCASE("a terminal") {
        const std::string text = written(Reader(a_terminal()));
        const std::string time = R"x(\d\d:\d\d:\d\d\.\d{3} )x";
        CHECK_MESSAGE(
            std::regex_match(
                text, std::regex(time + R"x(info call "x" tenant=acme status=200 duration_ms=0.013\r\n)x" + time +
                                 R"x(debug d\r\n)x" + time + R"x(warning 'w\\x0a'\r\n)x" + time + R"x(error e\r\n)x")),
            text);
    }
}

TEST_CASE("the time of a line is that of the call, also when the second changes") {
    const Reader reader;
    Log log(LogLevel::info);
    const mt::SystemClock clock;
    std::vector<mt::WallTime> before;
    const auto second = std::chrono::floor<std::chrono::seconds>(clock.wall());
    for (int after = 0; after < 3;) {
        before.push_back(clock.wall());
        log.info("tick");
        after += std::chrono::floor<std::chrono::seconds>(before.back()) == second ? 0 : 1;
        while (clock.wall() - before.back() < std::chrono::milliseconds(10)) {
            std::this_thread::yield();
        }
    }
    log.flush();
    const std::vector<Json> lines = parse_lines(reader.read_present());
    REQUIRE(lines.size() == before.size());
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const mt::Result<mt::WallTime> told = mt::parse_rfc3339(lines[i]["time"].get<std::string>());
        REQUIRE(told);
        CHECK(*told >= before[i]);
        CHECK((i + 1 == lines.size() || *told <= before[i + 1]));
    }
}

TEST_CASE("eight threads: every line is whole, and each thread's lines are in order") {
    constexpr std::int64_t k_each = 12'500;
    Reader reader;
    std::string text;
    std::jthread reading([&] { text = reader.read_all(); });
    {
        Log log(LogLevel::info);
        std::vector<std::jthread> threads;
        for (std::int64_t thread = 0; thread < 8; ++thread) {
            threads.emplace_back([&log, thread] {
                const std::string text_of(static_cast<std::size_t>(thread * 7), 'x');
                for (std::int64_t i = 0; i < k_each; ++i) {
                    const std::array fields{LogField{"thread", thread}, LogField{"i", i},
                                            LogField{"text", std::string_view(text_of)}};
                    log.write(i % 100 == 0 ? LogLevel::error : LogLevel::info, "line", fields);
                    if (i % 1000 == 0) {
                        log.flush();  // more than the log holds would be lost
                    }
                }
            });
        }
        threads.clear();
        CHECK(log.dropped() == 0);
    }
    reader.close_stderr();
    reading.join();
    std::array<std::int64_t, 8> next{};
    std::int64_t wrong = 0;
    for (const Json& line : parse_lines(text)) {
        const auto thread = line["thread"].get<std::size_t>();
        wrong += line["i"] == next.at(thread)++ && line["text"].get<std::string>().size() == thread * 7 ? 0 : 1;
    }
    CHECK(wrong == 0);
    CHECK(std::count(next.begin(), next.end(), k_each) == 8);
}

TEST_CASE("the level changes while lines are written") {
    Reader reader;
    std::string text;
    std::jthread reading([&] { text = reader.read_all(); });
    {
        Log log(LogLevel::off);
        log.error("never");
        {
            std::atomic<int> busy = 2;
            std::vector<std::jthread> threads;
            for (int thread = 0; thread < 2; ++thread) {
                threads.emplace_back([&] {
                    for (int i = 0; i < 5'000; ++i) {
                        log.info("maybe");
                    }
                    --busy;
                });
            }
            while (busy > 0) {
                log.set_level(LogLevel::warning);
                log.set_level(LogLevel::info);
            }
        }
        log.set_level(LogLevel::error);
        log.warning("never");
        log.error("always");
        log.set_level(LogLevel::debug);
        log.debug("always");
    }
    reader.close_stderr();
    reading.join();
    CHECK(text.find("never") == std::string::npos);
    const std::vector<Json> lines = parse_lines(text);
    REQUIRE(lines.size() >= 2);
    CHECK(lines[lines.size() - 2]["message"] == "always");
    CHECK(lines.back()["message"] == "always");
}

TEST_CASE("whatever a text holds, a JSON parser gets it back") {
    const Reader reader;
    Log log(LogLevel::info);
    const auto check = [&](const std::string& text) {
        const Json line = logged(log, reader, text, {{"value", std::string_view(text)}});
        CHECK_MESSAGE(line.value("message", "?") == shown(text), mt::quote(text));
        CHECK(line.value("value", "?") == shown(text));
    };
    SUBCASE("every byte at every place") {
        for (int byte = 0; byte < 256; ++byte) {
            const std::size_t length = static_cast<std::size_t>(byte) % 19 + 1;
            for (std::size_t at = 0; at < length; at += 3) {
                std::string text(length, 'a');
                text[at] = static_cast<char>(byte);
                check(text);
            }
        }
    }
    SUBCASE("special ones side by side") {
        std::mt19937 random(11);
        constexpr std::array<std::string_view, 14> k_parts{"a",        "~",    " ",    "\"",       "\\",
                                                           "\x1F",     "\n",   "\x7F", "\xC3\xA4", "\xF0\x9F\x98\x80",
                                                           "\xE2\x82", "\xFF", "!",    "#"};
        for (int i = 0; i < 500; ++i) {
            std::string text;
            for (std::size_t parts = random() % 24; parts > 0; --parts) {
                text += k_parts[random() % k_parts.size()];
            }
            check(text);
        }
    }
    SUBCASE("very long") {
        check(std::string(1'000'000, 'x'));
        check(std::string(100'000, '"') + "\xC3\xA4");
        check(std::string(100'000, '\xFF'));
    }
}

TEST_CASE("numbers") {
    const Reader reader;
    Log log(LogLevel::info);
    for (const std::int64_t number : {std::int64_t{0}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(),
                                      std::numeric_limits<std::int64_t>::max()}) {
        CHECK(logged(log, reader, "n", {{"value", number}})["value"] == number);
    }
    for (const double number : {0.0, -0.0004, 0.0005, 0.0015, 2.5, 1234.5678, -1e15, 1e300,
                                std::numeric_limits<double>::max(), std::numeric_limits<double>::lowest()}) {
        CHECK(logged(log, reader, "n", {{"value", number}})["value"] == Json::parse(fmt::format("{:.3f}", number)));
    }
    CHECK(logged(log, reader, "n", {{"value", std::numeric_limits<double>::quiet_NaN()}})["value"].is_null());
    CHECK(logged(log, reader, "n", {{"value", std::numeric_limits<double>::infinity()}})["value"].is_null());
}
