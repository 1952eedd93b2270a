#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "agent/arithmetic_words.h"
#include "agent/calculator.h"
#include "agent/rule_table.h"
#include "agent/words.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr std::array<std::string_view, 5> k_commands{"calculate", "compute", "evaluate", "work out", "solve"};
constexpr std::array<std::string_view, 12> k_questions{"what do you get if you",
                                                       "what do you get when you",
                                                       "how much is",
                                                       "how much are",
                                                       "how many is",
                                                       "what is",
                                                       "what's",
                                                       "what’s",
                                                       "whats",
                                                       "what are",
                                                       "what does",
                                                       "tell me"};
constexpr std::array<std::string_view, 4> k_equals{"equal", "equals", "make", "come to"};
constexpr std::array<std::string_view, 17> k_verbs{"multiply", "add",    "subtract", "divide", "raise",  "increase",
                                                   "decrease", "reduce", "square",   "cube",   "double", "triple",
                                                   "halve",    "negate", "round",    "take",   "sum of"};

std::optional<PlannedCall> calculate(std::string expression) {
    const bool refers = expression.find('{') != std::string::npos;
    return PlannedCall{"calculator", {{"expression", std::move(expression), refers}}};
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// The lengths of the groups of digits in "2026-11-23": 4, 2, 2; empty when there is anything else.
std::vector<std::size_t> digit_groups(std::string_view word, char separator) {
    std::vector<std::size_t> groups(1);
    for (const char c : word) {
        if (c == separator) {
            groups.push_back(0);
        } else if (is_digit(c)) {
            ++groups.back();
        } else {
            return {};
        }
    }
    return groups;
}

// A date (2026-11-23, 11/23/2026) or a telephone number with its area (555-123-4567); with `alone`, also 555-1234.
bool is_date_or_phone(std::string_view word, bool alone) {
    for (const char separator : {'-', '/'}) {
        const std::vector<std::size_t> groups = digit_groups(word, separator);
        const bool three = groups.size() == 3;
        const auto is_short = [&groups](std::size_t i) { return groups[i] == 1 || groups[i] == 2; };
        if (three &&
            ((groups[0] == 4 && is_short(1) && is_short(2)) || (is_short(0) && is_short(1) && groups[2] == 4))) {
            return true;
        }
        const bool local_phone = alone && groups == std::vector<std::size_t>{3, 4};
        const bool phone = groups == std::vector<std::size_t>{3, 3, 4} || groups == std::vector<std::size_t>{3, 2, 4};
        if (separator == '-' && (local_phone || phone)) {
            return true;
        }
    }
    return false;
}

bool has_date_or_phone(std::string_view text, bool alone) {
    const std::vector<std::string> words = split_list(text, ' ');
    return std::any_of(words.begin(), words.end(),
                       [alone](const std::string& word) { return is_date_or_phone(strip_end(word), alone); });
}

std::string_view strip_equals(std::string_view text) {
    for (const std::string_view words : k_equals) {
        const std::size_t at = find_last_words(text, words);
        if (at != std::string_view::npos && strip_end(text.substr(at)).size() == words.size()) {
            return strip_end(text.substr(0, at));
        }
    }
    return text;
}

// The user says that it is to be computed, so what looks like an expression goes to the tool, right or wrong.
std::optional<PlannedCall> explicit_command(std::string_view text) {
    if (std::optional<std::string> expression = arithmetic_expression(text)) {
        return calculate(std::move(*expression));
    }
    const std::size_t letters = static_cast<std::size_t>(
        std::find_if_not(text.begin(), text.end(), [](char c) { return is_word_character(c); }) - text.begin());
    const bool call = is_function_name(to_lower(text.substr(0, letters))) && text.substr(letters).starts_with('(');
    const bool symbolic =
        !text.empty() && std::string_view("0123456789.(+-").find(text.front()) != std::string_view::npos;
    return call || symbolic ? calculate(std::string(text)) : std::nullopt;
}

// "what is 2+2": only what is well-formed and has something to compute.
std::optional<PlannedCall> question(std::string_view text) {
    constexpr std::size_t k_longest = 2000;
    text = text.size() > k_longest ? "" : strip_equals(text);
    std::optional<std::string> expression = arithmetic_expression(text);
    const bool worth = expression && (has_operation(*expression) || is_constant_name(*expression));
    return worth && !has_date_or_phone(text, false) ? calculate(std::move(*expression)) : std::nullopt;
}

bool has_number(std::string_view expression) {
    return std::any_of(expression.begin(), expression.end(), is_digit) ||
           expression.find("pi") != std::string_view::npos;
}

}  // namespace

std::optional<PlannedCall> calculator_rule(std::string_view clause) {
    std::string_view text = strip_end(clause);
    std::string_view verb = text;
    if (eat_one(text, k_commands)) {
        eat(text, ":");
        eat_one(text, k_questions);
        return explicit_command(strip_end(text));
    }
    if (eat_one(text, k_questions)) {
        return question(text);
    }
    std::optional<std::string> expression = arithmetic_expression(text);
    if (!expression || !has_operation(*expression)) {
        return std::nullopt;
    }
    if (eat_one(verb, k_verbs)) {
        return calculate(std::move(*expression));
    }
    // A message that is an expression by itself.
    const bool factorial_only = expression->find_first_of("+-*/%^(") == std::string::npos;
    const bool fires = has_number(*expression) && !factorial_only && !has_date_or_phone(text, true);
    return fires ? calculate(std::move(*expression)) : std::nullopt;
}

}  // namespace mt
