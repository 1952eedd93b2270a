// `mtagent stats export`: what an invoice needs.

#include <map>
#include <utility>

#include "e2e/ledger_rows.h"
#include "e2e/site.h"

namespace mt::test {
namespace {

// RFC 4180, strictly: every record ends with CRLF, a quote stands only around or doubled inside of a quoted field.
std::vector<std::vector<std::string>> parse_csv(const std::string& text) {
    std::vector<std::vector<std::string>> records;
    std::vector<std::string> record(1);
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        std::string& field = record.back();
        if (quoted) {
            if (text[i] != '"') {
                field += text[i];
            } else if (text.compare(i, 2, "\"\"") == 0) {
                field += text[++i];
            } else {
                quoted = false;
                CHECK((text.compare(i + 1, 1, ",") == 0 || text.compare(i + 1, 2, "\r\n") == 0));
            }
        } else if (text[i] == '"') {
            CHECK(field.empty());
            quoted = true;
        } else if (text[i] == ',') {
            record.emplace_back();
        } else if (text.compare(i, 2, "\r\n") == 0) {
            records.push_back(std::exchange(record, std::vector<std::string>(1)));
            ++i;
        } else {
            CHECK((text[i] != '\r' && text[i] != '\n'));
            field += text[i];
        }
    }
    CHECK_FALSE(quoted);
    CHECK_MESSAGE(record == std::vector<std::string>(1), "the last line has no end");
    return records;
}

TEST_CASE("stats export: each call is in exactly one month, in UTC, however old its row is") {
    const Site site;
    add_with_tables(site, {"acme"});
    struct Row {
        const char* part;
        std::int64_t when;
        int served;
    };
    // The last and the first of each month, as minutes, hours and months; 2020 has a 29th of February.
    const std::vector<Row> rows{{"minute", minute_of(2020, 1, 31, 23, 59), 1},
                                {"minute", minute_of(2020, 2, 1, 0, 0), 2},
                                {"minute", minute_of(2020, 2, 29, 23, 59), 4},
                                {"minute", minute_of(2020, 3, 1, 0, 0), 8},
                                {"hour", minute_of(2020, 1, 31, 23, 0) / 60, 16},
                                {"hour", minute_of(2020, 2, 1, 0, 0) / 60, 32},
                                {"hour", minute_of(2020, 2, 29, 23, 0) / 60, 64},
                                {"hour", minute_of(2020, 3, 1, 0, 0) / 60, 128},
                                {"month", 202001, 256},
                                {"month", 202002, 512},
                                {"month", 202003, 1024},
                                {"month", 201912, 2048},
                                {"minute", minute_of(2019, 12, 31, 23, 59), 4096}};
    int all = 0;
    for (const Row& row : rows) {
        count(site, "acme", row.part, row.when, row.served);
        all += row.served;
    }
    const auto served = [&](const std::string& month) {
        const std::vector<Json> found = parse_lines(site.out({"stats", "export", "--month", month, "--json"}));
        REQUIRE(found.size() == 1);
        CHECK(found[0].at("month") == month);
        CHECK(found[0].at("complete") == true);
        CHECK(found[0].at("tokens_in") == 2 * found[0].at("served").get<int>());
        return found[0].at("served").get<int>();
    };
    CHECK(served("2019-12") == 2048 + 4096);
    CHECK(served("2020-01") == 1 + 16 + 256);
    CHECK(served("2020-02") == 2 + 4 + 32 + 64 + 512);
    CHECK(served("2020-03") == 8 + 128 + 1024);
    CHECK(served("2019-11") + served("2019-12") + served("2020-01") + served("2020-02") + served("2020-03") +
              served("2020-04") ==
          all);
    CHECK(site.json({"stats"})["acme"]["requests"] == all);
    CHECK(site.json({"check"})["books"]["tenants"] == 1);
}

TEST_CASE("stats export writes CSV that a spreadsheet takes for what it is") {
    const Site site;
    const std::vector<std::pair<std::string, std::string>> names{{"comma", "Smith, Jones & Co"},
                                                                 {"quote", "The \"Best\""},
                                                                 {"formula", "=HYPERLINK(\"http://x\",\"y\")"},
                                                                 {"plus", "+1"},
                                                                 {"minus", "-1"},
                                                                 {"at", "@SUM(A1)"},
                                                                 {"inner", "a=b"},
                                                                 {"wide", "Müller 日本"}};
    for (const auto& [id, name] : names) {
        site.add(id, {"--name=" + name, "--plan", "professional"});
    }
    // No command makes such names; a registry may hold them all the same.
    site.add("lines");
    site.add("tab");
    execute(site.path("data/registry.db"),
            "UPDATE tenants SET name = 'two' || char(13, 10) || 'lines' WHERE id = 'lines';"
            "UPDATE tenants SET name = char(9) || '=1' WHERE id = 'tab'");
    site.out({"tenant", "suspend", "at"});
    const std::vector<std::vector<std::string>> csv =
        parse_csv(site.out({"stats", "export", "--month", month_from_now(0)}));
    REQUIRE(csv.size() == names.size() + 3);
    CHECK(csv[0] == std::vector<std::string>{"month", "tenant", "name", "plan", "status", "requests", "allowed",
                                             "served", "denied", "errors", "unauthorized", "cache_hits", "cache_misses",
                                             "tokens_in", "tokens_out", "avg_latency_ms", "storage_bytes", "complete"});
    std::map<std::string, std::vector<std::string>> rows;
    for (std::size_t i = 1; i < csv.size(); ++i) {
        REQUIRE(csv[i].size() == csv[0].size());
        rows[csv[i][1]] = csv[i];
    }
    for (const auto& [id, name] : names) {
        const bool formula = std::string("=+-@").find(name[0]) != std::string::npos;
        CHECK(rows[id][2] == (formula ? "'" + name : name));
        CHECK(rows[id][3] == "professional");
        CHECK(rows[id][4] == (id == "at" ? "suspended" : "active"));
        CHECK(rows[id][17] == "false");
    }
    CHECK(rows["lines"][2] == "two\r\nlines");
    CHECK(rows["tab"][2] == "'\t=1");

    // The same as JSON, the names as they are.
    const std::string text = site.out({"stats", "export", "--month", month_from_now(0), "--format", "jsonl"});
    CHECK(text == site.out({"stats", "export", "--month=" + month_from_now(0), "--json"}));
    const std::vector<Json> objects = parse_lines(text);
    CHECK(objects.size() == csv.size() - 1);
    for (const Json& object : objects) {
        const std::vector<std::string>& row = rows[object.at("tenant").get<std::string>()];
        CHECK(object.size() == csv[0].size());
        for (std::size_t i = 0; i < csv[0].size(); ++i) {
            const Json& value = object.at(csv[0][i]);
            CHECK((csv[0][i] == "name" || row[i] == (value.is_string() ? value.get<std::string>() : value.dump())));
        }
    }
    CHECK(parse_csv(site.out({"stats", "export", "--month", month_from_now(0), "--json", "--format", "csv"})) == csv);
    const auto two = parse_csv(site.out({"stats", "export", "plus", "inner", "plus", "--month", month_from_now(0)}));
    REQUIRE(two.size() == 3);
    CHECK(two[1][1] == "plus");
    CHECK(two[2][1] == "inner");
}

TEST_CASE("stats export refuses what is no month, and tells whom it could not read") {
    const Site site;
    add_with_tables(site, {"acme", "beta", "gamma"});
    for (const Words& words : std::vector<Words>{{"stats", "export"},
                                                 {"stats", "export", "--month", ""},
                                                 {"stats", "export", "--month", "november"},
                                                 {"stats", "export", "--month", "2020-13"},
                                                 {"stats", "export", "--month", "2020-00"},
                                                 {"stats", "export", "--month", "2020-1"},
                                                 {"stats", "export", "--month", "202001"},
                                                 {"stats", "export", "--month", "2020-01-01"},
                                                 {"stats", "export", "--month", "-020-01"},
                                                 {"stats", "export", "--month", month_from_now(1)}}) {
        const Outcome done = site.run(words);
        CAPTURE(words.back());
        CHECK(done.exit == 64);
        CHECK(done.out.empty());
        CHECK_MESSAGE((done.err.find("YYYY-MM") != std::string::npos || words.back() == month_from_now(1)), done.err);
    }
    for (const Words& words : std::vector<Words>{{"stats", "export", "--month", "2020-01", "--format", "xml"},
                                                 {"stats", "export", "--month", "2020-01", "--since", "1h"},
                                                 {"stats", "--watch", "export", "--month", "2020-01"},
                                                 {"stats", "acme", "export", "--month", "2020-01"},
                                                 {"stats", "export", "--mnth", "2020-01"}}) {
        const Outcome done = site.run(words);
        CHECK(done.exit == 64);
        CHECK(done.out.empty());
        CHECK_MESSAGE(done.err.starts_with("mtagent: "), done.err);
    }
    const Outcome unknown = site.run({"stats", "export", "--month", "2020-01", "acme", "nobody"});
    CHECK(unknown.exit == 3);
    CHECK(unknown.out.empty());

    site.write("data/tenants/beta.db", "no database at all");
    const Outcome damaged = site.run({"stats", "export", "--month", "2020-01"});
    CHECK(damaged.exit == 1);
    CHECK(damaged.err.find("'beta'") != std::string::npos);
    const auto rows = parse_csv(damaged.out);
    REQUIRE(rows.size() == 3);
    CHECK(rows[1][1] == "acme");
    CHECK(rows[2][1] == "gamma");
    std::filesystem::remove(site.path("data/tenants/gamma.db"));
    CHECK(parse_csv(site.run({"stats", "export", "--month", "2020-01", "--quiet"}).out).size() == 2);
}

TEST_CASE("a tenant may have the name of a command") {
    const Site site;
    add_with_tables(site, {"export"});
    count(site, "export", "minute", minute_of(2020, 1, 1, 0, 0), 3);
    CHECK(site.json({"stats"})["export"]["requests"] == 3);
    const std::vector<std::string> lines = lines_of(site.out({"stats", "--", "export"}));
    REQUIRE(lines.size() == 2);
    CHECK(words_of(lines[1])[1] == "3");
    CHECK(parse_csv(site.out({"stats", "export", "export", "--month", "2020-01"})).size() == 2);
    CHECK(site.out({"stats", "--help"}).find("export") != std::string::npos);
}

}  // namespace
}  // namespace mt::test
