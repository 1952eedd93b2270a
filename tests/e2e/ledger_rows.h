#pragma once

#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "e2e/site.h"
#include "sqlite/database.h"

// Rows of the ledger written by hand, and what commands say of them taken to pieces.
namespace mt::test {

inline std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        lines.push_back(line);
    }
    return lines;
}

inline std::vector<std::string> words_of(const std::string& line) {
    std::vector<std::string> words;
    std::istringstream in(line);
    for (std::string word; in >> word;) {
        words.push_back(word);
    }
    return words;
}

inline void execute(const std::filesystem::path& file, const std::string& sql) {
    Result<std::unique_ptr<Database>> database = Database::open(file, {});
    REQUIRE(database);
    const Result<void> done = (*database)->run([&]() -> Result<void> {
        (*database)->execute(sql);
        return {};
    });
    REQUIRE(done);
}

inline std::filesystem::path file_of(const Site& site, const std::string& tenant) {
    return site.path("data/tenants/" + tenant + ".db");
}

/// A row of history as the server would have left it, total included. `part`: minute, hour or month.
inline void count(const Site& site, const std::string& tenant, const std::string& part, std::int64_t when, int served) {
    const std::string number = std::to_string(served);
    const std::string columns = "served, tokens_in, cache_misses, latency_ns, latency_le_1000000) VALUES(";
    const std::string values = number + ", 2 * " + number + ", " + number + ", 3500000 * " + number + ", " + number;
    const auto add = [](const std::string& key) {
        return ") ON CONFLICT(" + key +
               ") DO UPDATE SET served = served + excluded.served, tokens_in = tokens_in + excluded.tokens_in, "
               "cache_misses = cache_misses + excluded.cache_misses, latency_ns = latency_ns + excluded.latency_ns, "
               "latency_le_1000000 = latency_le_1000000 + excluded.latency_le_1000000;";
    };
    execute(file_of(site, tenant), "INSERT INTO ledger_" + part + "s(" + part + ", " + columns + std::to_string(when) +
                                       ", " + values + add(part) + "INSERT INTO ledger_totals(writer, " + columns +
                                       "'hand', " + values + add("writer"));
}

inline std::int64_t minute_of(int year, int month, int day, int hour, int minute) {
    const std::chrono::sys_days date = std::chrono::year{year} / month / day;
    return date.time_since_epoch().count() * 1440LL + hour * 60LL + minute;
}

inline std::int64_t minute_now() {
    return std::chrono::floor<std::chrono::minutes>(std::chrono::system_clock::now()).time_since_epoch().count();
}

inline std::string month_from_now(int months) {
    const std::chrono::year_month_day today{std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now())};
    const std::chrono::year_month month = today.year() / today.month() + std::chrono::months{months};
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%04d-%02u", static_cast<int>(month.year()),
                  static_cast<unsigned>(month.month()));
    return text.data();
}

/// A site with these tenants whose files have the tables of the ledger.
inline void add_with_tables(const Site& site, const std::vector<std::string>& tenants) {
    for (const std::string& tenant : tenants) {
        site.add(tenant);
    }
    site.json({"check"});
}

inline std::vector<Json> parse_lines(const std::string& text) {
    std::vector<Json> objects;
    for (const std::string& line : lines_of(text)) {
        objects.push_back(parse_json(line));
    }
    return objects;
}

}  // namespace mt::test
