#include "base/log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string>

namespace {

// Standard error leads into a pipe while this lives.
class StuckReader {
  public:
    StuckReader() : m_before(dup(STDERR_FILENO)) {
        REQUIRE(pipe2(m_ends.data(), O_CLOEXEC) == 0);
        dup2(m_ends[1], STDERR_FILENO);
    }
    StuckReader(const StuckReader&) = delete;
    StuckReader& operator=(const StuckReader&) = delete;
    ~StuckReader() {
        dup2(m_before, STDERR_FILENO);
        for (const int fd : {m_before, m_ends[0], m_ends[1]}) {
            close(fd);
        }
    }

    /// Everything that waits.
    [[nodiscard]] std::string read_all() const {
        fcntl(m_ends[0], F_SETFL, O_NONBLOCK);
        std::string text;
        std::array<char, 4096> bytes{};
        for (ssize_t got = 0; (got = read(m_ends[0], bytes.data(), bytes.size())) > 0;) {
            text.append(bytes.data(), static_cast<std::size_t>(got));
        }
        return text;
    }

  private:
    int m_before;
    std::array<int, 2> m_ends{};
};

}  // namespace

TEST_CASE("a log that nobody reads keeps nobody waiting, and says later what is missing") {
    const StuckReader reader;
    mt::Log log(mt::LogLevel::info);
    const std::string line(1000, 'x');
    for (int i = 0; i < 1'000; ++i) {
        log.info(line);  // a megabyte, of which the pipe holds a part
    }
    const std::string first = reader.read_all();
    CHECK(first.size() > 10'000);
    CHECK(first.size() < 500'000);
    log.info("last");
    const std::string rest = reader.read_all();
    CHECK(rest.find("lines of the log are lost") != std::string::npos);
    CHECK(rest.find("last") != std::string::npos);
    log.info("again");
    CHECK(reader.read_all().find("lost") == std::string::npos);
}
