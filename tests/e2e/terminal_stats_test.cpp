// `mtagent stats` for a person at a terminal, and --watch.

#include <algorithm>
#include <csignal>

#include "e2e/ledger_rows.h"
#include "e2e/site.h"
#include "e2e/terminal.h"

namespace mt::test {
namespace {

// How many characters a spark line has that stands under "LAST".
std::size_t steps_of(const std::string& head, const std::string& line) {
    const auto characters = std::count_if(line.begin(), line.end(),
                                          [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
    return static_cast<std::size_t>(characters) - head.find("LAST");
}

TEST_CASE("on a terminal a person gets separators, a total, and the course of the last while") {
    const Site site;
    add_with_tables(site, {"acme", "beta", "gamma"});
    const std::int64_t now = minute_now();
    count(site, "acme", "minute", now - 10, 1'000'000);
    count(site, "acme", "minute", now - 8, 500'000);
    count(site, "acme", "minute", now - 100, 234'567);
    count(site, "beta", "minute", now - 100, 1);

    const std::vector<std::string> lines = lines_of(Terminal(site, {"stats"}).wait());
    REQUIRE(lines.size() == 5);
    CHECK(lines[0].ends_with("LAST 30m"));
    CHECK(lines[1].find(" 1,734,567 ") != std::string::npos);
    CHECK(lines[1].find(" 3,469,134 ") != std::string::npos);
    // Minutes may have passed since the rows were written; between the two there is one.
    CHECK_MESSAGE(lines[1].find("  █ ▅  ") != std::string::npos, lines[1]);
    CHECK(lines[2].find("▁") == std::string::npos);  // beta had its call before
    CHECK(lines[4].starts_with("TOTAL "));
    CHECK(words_of(lines[4])[1] == "1,734,568");

    const std::vector<std::string> longer = lines_of(Terminal(site, {"stats", "--since", "2h"}).wait());
    CHECK(longer[0].ends_with("LAST 2h"));
    CHECK(longer[1].find("▂") != std::string::npos);
    CHECK(longer[2].find("█") != std::string::npos);
    CHECK(words_of(longer[3])[1] == "0");
    CHECK(steps_of(lines[0], lines[1]) == 30);
    CHECK(steps_of(longer[0], longer[1]) == 30);
    const std::vector<std::string> day = lines_of(Terminal(site, {"stats", "--since", "24h"}).wait());
    CHECK(steps_of(day[0], day[2]) == 30);

    CHECK(Terminal(site, {"stats", "--no-color"}).wait().find("█") == std::string::npos);
    const std::string plain = Terminal(site, {"stats"}, {{"NO_COLOR", "1"}}).wait();
    CHECK(plain.find("█") == std::string::npos);
    CHECK(plain.find("1,734,567") != std::string::npos);
    CHECK(lines_of(Terminal(site, {"stats", "acme"}).wait()).size() == 2);  // no total of one
    CHECK(parse_json(Terminal(site, {"stats", "--json"}).wait()).size() == 3);
    const std::string piped = site.out({"stats"});
    CHECK(piped.find("1734567") != std::string::npos);
    CHECK(piped.find("TOTAL") == std::string::npos);
    CHECK(piped.find("█") == std::string::npos);
}

TEST_CASE("more than 200 tenants have no spark lines") {
    std::string toml;
    for (int i = 0; i < 201; ++i) {
        toml += "[[tenants]]\nid = \"t" + std::to_string(1000 + i) + "\"\n";
    }
    const Site site(toml);
    site.out({"tenant", "apply"});
    site.out({"stats", "t1000", "--since", "1h"});
    site.json({"check"});
    count(site, "t1000", "minute", minute_now() - 2, 7);
    CHECK(Terminal(site, {"stats"}).wait().find("█") == std::string::npos);
    CHECK(Terminal(site, {"stats", "t1000", "t1001"}).wait().find("█") != std::string::npos);
}

TEST_CASE("--watch redraws in place on a terminal, and ends with 0") {
    const Site site;
    add_with_tables(site, {"acme", "beta"});
    count(site, "acme", "minute", minute_now() - 2, 7);
    for (const int number : {SIGINT, SIGTERM}) {
        Terminal watching(site, {"stats", "--watch"});
        const std::string up = "\x1b[4A\r";  // head, two tenants, total
        CHECK(time_until([&] { return watching.text().find(up) != std::string::npos; }, std::chrono::seconds{10}));
        watching.signal(number);
        const std::string text = watching.wait();
        CHECK(text.find("█") != std::string::npos);
        CHECK_MESSAGE(text.find("\x1b[2J") == std::string::npos, "clearing the screen flickers");
        CHECK_MESSAGE(text.find("\x1b[H") == std::string::npos, "what stood above is written over");
    }
    Terminal plain(site, {"stats", "--watch", "--no-color"});
    const auto rounds = [&] {
        const std::vector<std::string> lines = lines_of(plain.text());
        return std::count_if(lines.begin(), lines.end(), [](const auto& line) { return line.starts_with("TENANT"); });
    };
    CHECK(time_until([&] { return rounds() >= 2; }, std::chrono::seconds{10}));
    plain.signal(SIGINT);
    CHECK(plain.wait().find('\x1b') == std::string::npos);
}

TEST_CASE("--watch leaves out what does not fit on the terminal") {
    std::string toml;
    for (int i = 0; i < 60; ++i) {
        toml += "[[tenants]]\nid = \"t" + std::to_string(100 + i) + "\"\n";
    }
    const Site site(toml);
    site.out({"tenant", "apply"});
    Terminal watching(site, {"stats", "--watch"});
    CHECK(time_until([&] { return watching.text().find("\x1b[39A") != std::string::npos; }, std::chrono::seconds{10}));
    watching.signal(SIGINT);
    const std::string text = watching.wait();
    CHECK(text.find("... 24 more\x1b[K\nTOTAL") != std::string::npos);
}

TEST_CASE("--watch --json writes one document a line, on a terminal too") {
    const Site site;
    site.add("acme");
    Process watching = site.start({"stats", "--watch", "--json"});
    CHECK(time_until([&] { return lines_of(watching.out()).size() >= 3; }, std::chrono::seconds{15}));
    watching.signal(SIGTERM);
    const Outcome done = watching.wait();
    CHECK(done.exit == 0);
    for (const Json& document : parse_lines(done.out)) {
        CHECK(document.at("acme").at("requests") == 0);
    }
    Terminal drawn(site, {"stats", "--watch", "--json"});
    CHECK(time_until([&] { return lines_of(drawn.text()).size() >= 2; }, std::chrono::seconds{15}));
    drawn.signal(SIGINT);
    CHECK(drawn.wait().find('\x1b') == std::string::npos);
}

TEST_CASE("--watch follows a server that comes and goes") {
    const Site site;
    site.add("acme", {"--auth", "open"});
    Process watching = site.start({"stats", "--watch", "--json"});
    const auto requests = [&] {
        const std::vector<std::string> lines = lines_of(watching.out());
        const Json last = lines.empty() ? Json() : Json::parse(lines.back(), nullptr, false);
        return last.is_object() ? last["acme"]["requests"].get<int>() : -1;
    };
    for (int round = 1; round <= 2; ++round) {
        Server server = site.serve();
        server.get("/acme?q=Hello");
        CHECK(time_until([&] { return requests() == round; }, std::chrono::seconds{10}));
        CHECK(server.terminate().exit == 0);
    }
    watching.signal(SIGINT);
    CHECK(watching.wait().exit == 0);
}

}  // namespace
}  // namespace mt::test
