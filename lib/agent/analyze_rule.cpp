#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>

#include "agent/arithmetic_words.h"
#include "agent/data_table.h"
#include "agent/rule_table.h"
#include "agent/word_translator.h"
#include "agent/words.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr std::size_t k_nowhere = std::string_view::npos;

constexpr std::array<std::string_view, 8> k_leads{"give me", "show me",   "show",    "what are",
                                                  "compute", "calculate", "tell me", "what is"};
constexpr std::array<std::string_view, 13> k_commands{
    "analyze",   "analyse",   "analysis of", "statistics of", "statistics for",       "statistics on", "stats of",
    "stats for", "summarize", "summarise",   "summary of",    "describe the numbers", "describe"};

std::size_t count_lines(std::string_view text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
}

std::string_view first_line(std::string_view text) {
    return text.substr(0, text.find('\n'));
}

// CSV in `text`: all of it, after the last colon of its first line, or from its second line on.
std::string_view find_csv(std::string_view text) {
    const std::string_view line = first_line(text);
    const std::size_t colon = line.rfind(':');
    const std::size_t end = text.find('\n');
    for (const std::size_t start : {colon == k_nowhere ? k_nowhere : colon + 1, end}) {
        if (start != k_nowhere && has_csv_shape(trim(text.substr(start)))) {
            return trim(text.substr(start));
        }
    }
    const bool wide = line.find_first_of(",;\t") != k_nowhere;
    return wide && has_csv_shape(text) ? trim(text) : "";
}

// The word after "column", or before it: "the sales column", "column sales". "" when the header has no such column.
std::string named_column(std::string_view head, std::string_view header) {
    const std::size_t at = find_words(head, "column");
    if (at == k_nowhere) {
        return "";
    }
    const std::vector<std::string> before = split_list(head.substr(0, at), ' ');
    const std::vector<std::string> after = split_list(head.substr(at + std::string_view("column").size()), ' ');
    std::vector<std::string> names;
    names.insert(names.end(), after.begin(), after.begin() + (after.empty() ? 0 : 1));
    names.insert(names.end(), before.end() - (before.empty() ? 0 : 1), before.end());
    for (const std::string& name : names) {
        const std::string_view bare = strip_end(name);
        if (!bare.empty() && find_words(header, to_lower(bare)) != k_nowhere) {
            return std::string(bare);
        }
    }
    return "";
}

std::optional<PlannedCall> analyze_csv(std::string_view text) {
    const std::string_view csv = find_csv(text);
    if (csv.empty()) {
        return std::nullopt;
    }
    PlannedCall call{"analyze", {{"data", std::string(csv)}}};
    const std::string_view head = text.substr(0, static_cast<std::size_t>(csv.data() - text.data()));
    std::string column = named_column(head, first_line(csv));
    if (!column.empty()) {
        call.arguments.push_back({"column", std::move(column)});
    }
    return call;
}

std::optional<PlannedCall> analyze_numbers(std::string_view text) {
    std::string numbers = number_list(text);
    if (numbers.empty()) {
        return std::nullopt;
    }
    return PlannedCall{"analyze", {{"data", std::move(numbers)}}};
}

}  // namespace

std::optional<PlannedCall> analyze_rule(std::string_view clause) {
    std::string_view text = clause;
    eat_one(text, k_leads);
    eat(text, "the");
    if (eat_one(text, k_commands)) {
        std::optional<PlannedCall> call = analyze_csv(text);
        return call ? call : analyze_numbers(text);
    }
    // What the calculator has no function for.
    const std::string_view statistic = eat_statistic(text);
    const bool only_here = statistic == "deviation" || statistic == "trend" || statistic.starts_with("p");
    return only_here && (eat(text, "of") || eat(text, "in")) ? analyze_numbers(text) : std::nullopt;
}

std::optional<PlannedCall> bare_csv_rule(std::string_view message) {
    constexpr std::size_t k_least_lines = 3;
    const std::string_view text = trim(message);
    const bool wide = first_line(text).find_first_of(",;\t") != k_nowhere;
    if (!wide || count_lines(text) < k_least_lines || !has_csv_shape(text) || !read_data_table(text, "")) {
        return std::nullopt;
    }
    return PlannedCall{"analyze", {{"data", std::string(text)}}};
}

}  // namespace mt
