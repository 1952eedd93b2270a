#include "base/line_writer.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"

namespace {

using mt::LineWriter;
using std::chrono::milliseconds;

constexpr auto k_ordinary = LineWriter::Urgency::ordinary;
constexpr auto k_urgent = LineWriter::Urgency::urgent;
constexpr milliseconds k_long{30'000};
constexpr std::int64_t k_ms = 1'000'000;  // ns

std::string note(std::int64_t lost) {
    return "lost " + std::to_string(lost) + "\n";
}

// The two ends of a pipe, a pair of sockets or a terminal.
class Ends {
  public:
    Ends(int from, int to) : m_from(from), m_to(to) { REQUIRE(std::min(from, to) >= 0); }
    Ends(const Ends&) = delete;
    Ends& operator=(const Ends&) = delete;
    ~Ends() {
        close_from();
        close_to();
    }

    [[nodiscard]] int to() const { return m_to; }

    void close_from() { shut(m_from); }
    void close_to() { shut(m_to); }
    void leave_to() { m_to = -1; }  ///< open, for a thread that may still use it

    /// At least one byte, unless it is the end.
    [[nodiscard]] std::string read_some(std::size_t most = 65'536) const {
        std::string bytes(most, '\0');
        const ssize_t got = read(m_from, bytes.data(), bytes.size());
        bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        return bytes;
    }

    [[nodiscard]] std::string read_all() const {
        std::string text;
        for (std::string some = read_some(); !some.empty(); some = read_some()) {
            text += some;
        }
        return text;
    }

    /// What is there now.
    [[nodiscard]] std::string read_present() const {
        fcntl(m_from, F_SETFL, O_NONBLOCK);
        return read_all();
    }

  private:
    static void shut(int& fd) {
        if (fd >= 0) {
            close(fd);
        }
        fd = -1;
    }

    int m_from;
    int m_to;
};

Ends make_pipe(int flags = 0) {
    std::array<int, 2> ends{-1, -1};
    pipe2(ends.data(), O_CLOEXEC | flags);
    return {ends[0], ends[1]};
}

Ends make_sockets() {
    std::array<int, 2> ends{-1, -1};
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data());
    return {ends[0], ends[1]};
}

Ends make_terminal() {
    const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(master >= 0);
    REQUIRE((grantpt(master) == 0 && unlockpt(master) == 0));
    std::array<char, 64> name{};
    REQUIRE(ptsname_r(master, name.data(), name.size()) == 0);
    return {master, open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC)};
}

struct Seen {
    std::int64_t lines = 0;
    std::int64_t told = 0;  // by notes
    std::string last_note;
};

Seen count_lines(const std::string& text) {
    Seen seen;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with("lost ")) {
            seen.told += std::stoll(line.substr(5));
            seen.last_note = line;
        } else {
            ++seen.lines;
        }
    }
    return seen;
}

void append_surely(LineWriter& writer, const std::string& line) {
    while (!writer.append(line, k_ordinary)) {
        writer.flush(k_long);
    }
}

// Lines from one byte to some hundred kilobytes.
std::vector<std::string> assorted_lines() {
    std::mt19937 random(7);
    std::vector<std::string> lines;
    for (int i = 0; i < 400; ++i) {
        const std::size_t most = i % 50 == 0 ? 300'000 : i % 5 == 0 ? 9'000 : 200;
        lines.push_back(std::string(random() % most, static_cast<char>('a' + i % 26)) + "\n");
    }
    return lines;
}

void check_passes_all(const Ends& ends, std::size_t chunk) {
    std::string sent;
    for (const std::string& line : assorted_lines()) {
        sent += line;
    }
    std::string got;
    std::jthread reader([&] {
        while (got.size() < sent.size()) {
            got += ends.read_some(chunk);
        }
    });
    LineWriter writer(ends.to(), note);
    for (const std::string& line : assorted_lines()) {
        append_surely(writer, line);
    }
    CHECK(writer.flush(k_long));
    reader.join();
    CHECK((got == sent));
    CHECK(writer.dropped() == 0);
}

std::int64_t now_ns() {
    return mt::SystemClock().boot_ns();
}

}  // namespace

TEST_CASE("lines of all sizes come whole and in order, whatever the descriptor and however it is read") {
    check_passes_all(make_pipe(), 65'536);
    check_passes_all(make_pipe(), 1'000);
    check_passes_all(make_pipe(O_NONBLOCK), 5'000);
    check_passes_all(make_sockets(), 5'000);
}

TEST_CASE("many writers: no line is torn, and each one's lines keep their order") {
    constexpr int k_threads = 8;
    constexpr int k_each = 12'500;
    Ends ends = make_pipe();
    std::string got;
    std::jthread reader([&] { got = ends.read_all(); });
    {
        LineWriter writer(ends.to(), note, 100'000);
        std::vector<std::jthread> threads;
        for (int thread = 0; thread < k_threads; ++thread) {
            threads.emplace_back([&writer, thread] {
                for (int i = 0; i < k_each; ++i) {
                    const std::string body(static_cast<std::size_t>(i % 90), static_cast<char>('a' + thread));
                    const std::string line = std::to_string(thread) + " " + std::to_string(i) + " " + body + ".\n";
                    while (!writer.append(line, i % 1000 == 0 ? k_urgent : k_ordinary)) {
                        writer.flush(k_long);
                    }
                }
            });
        }
    }
    ends.close_to();
    reader.join();
    std::array<int, k_threads> next{};
    std::istringstream in(got);
    int wrong = 0;
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with("lost ")) {
            continue;
        }
        const auto thread = static_cast<std::size_t>(line[0] - '0');
        const int i = thread < k_threads ? next.at(thread)++ : -1;
        const std::string body(static_cast<std::size_t>(std::max(i, 0) % 90), static_cast<char>('a' + thread));
        wrong += line == std::to_string(thread) + " " + std::to_string(i) + " " + body + "." ? 0 : 1;
    }
    CHECK(wrong == 0);
    CHECK(std::all_of(next.begin(), next.end(), [](int count) { return count == k_each; }));
}

TEST_CASE("a reader that is stuck makes nobody wait, and what is missing is counted and told exactly") {
    Ends ends = make_pipe();
    constexpr std::int64_t k_lines = 105'000;  // more than 10 MiB
    const std::string line = std::string(99, 'x') + "\n";
    std::string got;
    std::int64_t refused = 0;
    {
        LineWriter writer(ends.to(), note);
        for (std::int64_t i = 0; i < k_lines; ++i) {
            refused += writer.append(line, k_ordinary) ? 0 : 1;
        }
        CHECK_FALSE(writer.flush(milliseconds(20)));
        CHECK(writer.dropped() == refused);
        const auto most = static_cast<std::int64_t>(LineWriter::k_capacity) + 65'536;
        CHECK((k_lines - refused) * 100 > most - 65'536 - 1'000);
        CHECK((k_lines - refused) * 100 <= most);

        std::jthread reader([&] { got = ends.read_all(); });
        CHECK(writer.flush(k_long));
        CHECK(writer.append("last\n", k_ordinary));
        CHECK(writer.append("more\n", k_ordinary));
        CHECK(writer.flush(k_long));
        CHECK(writer.dropped() == refused);
        ends.close_to();
    }
    const Seen seen = count_lines(got);
    CHECK(seen.lines == k_lines - refused + 2);
    CHECK(seen.told == refused);
    CHECK(got.ends_with(seen.last_note + "\nlast\nmore\n"));
}

TEST_CASE("a slow reader: at each moment what came and what is lost add up") {
    Ends ends = make_pipe();
    constexpr std::int64_t k_lines = 60'000;
    std::string got;
    std::int64_t lost = 0;
    {
        std::jthread reader([&] {
            for (std::string some = ends.read_some(700); !some.empty(); some = ends.read_some(700)) {
                got += some;
            }
        });
        LineWriter writer(ends.to(), note, 20'000);
        for (std::int64_t i = 0; i < k_lines; ++i) {
            writer.append(std::string(static_cast<std::size_t>(i % 300), 'x') + "\n", k_ordinary);
        }
        CHECK(writer.flush(k_long));
        CHECK(writer.append("last\n", k_ordinary));
        CHECK(writer.flush(k_long));
        lost = writer.dropped();
        ends.close_to();
    }
    const Seen seen = count_lines(got);
    CHECK(lost > 0);
    CHECK(seen.lines + lost == k_lines + 1);
    CHECK(seen.told == lost);
}

TEST_CASE("a line that can never fit is lost alone") {
    Ends ends = make_pipe();
    LineWriter writer(ends.to(), note, 4'096);
    CHECK_FALSE(writer.append(std::string(5'000, 'x') + "\n", k_ordinary));
    CHECK(writer.append("small\n", k_ordinary));
    CHECK(writer.flush(k_long));
    CHECK(ends.read_present() == "lost 1\nsmall\n");
}

TEST_CASE("what is lost last is told at the end") {
    Ends ends = make_pipe();
    {
        LineWriter writer(ends.to(), note, 4'096);
        CHECK_FALSE(writer.append(std::string(5'000, 'x') + "\n", k_ordinary));
    }
    CHECK(ends.read_present() == "lost 1\n");
}

TEST_CASE("the end writes all that waits") {
    Ends ends = make_pipe();
    LineWriter(ends.to(), note).append("one\n", k_ordinary);
    CHECK(ends.read_present() == "one\n");
}

TEST_CASE("the end does not wait for a reader that is stuck") {
    const auto fill = [](const Ends& ends) {
        LineWriter writer(ends.to(), note);
        for (int i = 0; i < 20'000; ++i) {
            writer.append(std::string(99, 'x') + "\n", k_urgent);
        }
    };
    const Ends pipe = make_pipe();
    const Ends sockets = make_sockets();
    Ends terminal = make_terminal();  // it holds the thread in its write
    const std::int64_t start = now_ns();
    {
        const std::jthread one([&] { fill(pipe); });
        const std::jthread two([&] { fill(sockets); });
        const std::jthread three([&] { fill(terminal); });
    }
    CHECK(now_ns() - start < 10'000 * k_ms);
    terminal.leave_to();
    const std::string got = pipe.read_present();
    CHECK(got.size() > 4'096);
    CHECK(got.size() % 100 == 0);  // whole lines
}

TEST_CASE("urgent lines come at once, ordinary ones gather first") {
    const Ends ends = make_pipe();
    LineWriter writer(ends.to(), note);
    const auto quickest = [&](LineWriter::Urgency urgency) {
        std::int64_t least = k_long.count() * k_ms;
        for (int i = 0; i < 40; ++i) {
            const std::int64_t start = now_ns();
            writer.append("line\n", urgency);
            CHECK(ends.read_some() == "line\n");
            least = std::min(least, now_ns() - start);
        }
        return least;
    };
    CHECK(quickest(k_urgent) < 4 * k_ms);
    CHECK(quickest(k_ordinary) > 4 * k_ms);
    writer.append("first\n", k_ordinary);
    writer.append("second\n", k_urgent);
    std::string got;
    while (got.size() < 13) {
        got += ends.read_some();
    }
    CHECK(got == "first\nsecond\n");
}

TEST_CASE("a descriptor that refuses loses lines and nothing else, and is tried again") {
    Ends ends = make_pipe();
    Ends later = make_pipe();
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    REQUIRE(full >= 0);
    auto* const before = std::signal(SIGPIPE, SIG_DFL);
    SUBCASE("no reader, and SIGPIPE does what it does by default") {
        ends.close_from();
    }
    SUBCASE("no space") {
        dup2(full, ends.to());
    }
    SUBCASE("closed") {
        close(ends.to());
    }
    close(full);
    LineWriter writer(ends.to(), note);
    for (int i = 0; i < 10; ++i) {
        CHECK(writer.append("line\n", k_ordinary));
    }
    CHECK(writer.flush(k_long));
    CHECK(writer.dropped() == 10);
    CHECK(writer.append("line\n", k_urgent));  // with a note that is lost, too
    CHECK(writer.flush(k_long));
    CHECK(writer.dropped() == 11);
    REQUIRE(dup2(later.to(), ends.to()) == ends.to());
    CHECK(writer.append("after\n", k_ordinary));
    CHECK(writer.flush(k_long));
    CHECK(later.read_present() == "lost 11\nafter\n");
    CHECK(writer.dropped() == 11);
    std::signal(SIGPIPE, before);
}

TEST_CASE("a line that was cut short does not spoil the next one") {
    Ends ends = make_sockets();
    Ends later = make_pipe();
    LineWriter writer(ends.to(), note);
    CHECK(writer.append("whole\n", k_ordinary));
    CHECK(writer.append(std::string(2'000'000, 'x') + "\n", k_ordinary));
    CHECK(writer.append("behind\n", k_ordinary));
    CHECK(ends.read_some(10) == "whole\nxxxx");
    ends.close_from();
    CHECK(writer.flush(k_long));
    CHECK(writer.dropped() == 2);
    REQUIRE(dup2(later.to(), ends.to()) == ends.to());
    CHECK(writer.append("after\n", k_ordinary));
    CHECK(writer.flush(k_long));
    CHECK(later.read_present() == "\nlost 2\nafter\n");
}
