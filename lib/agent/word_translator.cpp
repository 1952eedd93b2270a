#include "agent/word_translator.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "agent/calculator.h"
#include "agent/words.h"
#include "base/text.h"

namespace mt {
namespace {

struct Replacement {
    std::string_view words;
    std::string_view symbols;
};

constexpr std::array<Replacement, 30> k_operators{{{"raised to the power of", "^"},
                                                   {"to the power of", "^"},
                                                   {"raised to", "^"},
                                                   {"multiplied by", "*"},
                                                   {"multiplied with", "*"},
                                                   {"divided by", "/"},
                                                   {"plus", "+"},
                                                   {"minus", "-"},
                                                   {"times", "*"},
                                                   {"over", "/"},
                                                   {"modulo", "%"},
                                                   {"mod", "%"},
                                                   {"squared", "^2"},
                                                   {"cubed", "^3"},
                                                   {"factorial", "!"},
                                                   {"percent of", "/100*"},
                                                   {"per cent of", "/100*"},
                                                   {"% of", "/100*"},
                                                   {"half of", "0.5*"},
                                                   {"twice", "2*"},
                                                   {"x", "*"},
                                                   {"×", "*"},
                                                   {"·", "*"},
                                                   {"÷", "/"},
                                                   {"−", "-"},
                                                   {"decimal places", ""},
                                                   {"decimal place", ""},
                                                   {"decimals", ""},
                                                   {"digits", ""},
                                                   {"the", ""}}};

constexpr std::array<Replacement, 5> k_functions{{{"square root of", "sqrt"},
                                                  {"cube root of", "cbrt"},
                                                  {"absolute value of", "abs"},
                                                  {"natural logarithm of", "ln"},
                                                  {"√", "sqrt"}}};

constexpr std::array<Replacement, 14> k_numbers{{{"zero", "0"},
                                                 {"one", "1"},
                                                 {"two", "2"},
                                                 {"three", "3"},
                                                 {"four", "4"},
                                                 {"five", "5"},
                                                 {"six", "6"},
                                                 {"seven", "7"},
                                                 {"eight", "8"},
                                                 {"nine", "9"},
                                                 {"ten", "10"},
                                                 {"eleven", "11"},
                                                 {"twelve", "12"},
                                                 {"π", "pi"}}};

constexpr std::array<std::string_view, 13> k_newest{"previous result",
                                                    "last result",
                                                    "result",
                                                    "previous answer",
                                                    "last answer",
                                                    "answer",
                                                    "that result",
                                                    "that number",
                                                    "this number",
                                                    "number",
                                                    "that",
                                                    "this",
                                                    "it"};

constexpr std::array<Replacement, 28> k_statistics{{{"standard deviation", "deviation"},
                                                    {"sample deviation", "deviation"},
                                                    {"deviation", "deviation"},
                                                    {"average", "mean"},
                                                    {"mean", "mean"},
                                                    {"50th percentile", "median"},
                                                    {"p50", "median"},
                                                    {"median", "median"},
                                                    {"total", "sum"},
                                                    {"sum", "sum"},
                                                    {"number of values", "count"},
                                                    {"count", "count"},
                                                    {"minimum", "min"},
                                                    {"smallest", "min"},
                                                    {"lowest", "min"},
                                                    {"min", "min"},
                                                    {"maximum", "max"},
                                                    {"largest", "max"},
                                                    {"highest", "max"},
                                                    {"max", "max"},
                                                    {"25th percentile", "p25"},
                                                    {"p25", "p25"},
                                                    {"75th percentile", "p75"},
                                                    {"p75", "p75"},
                                                    {"90th percentile", "p90"},
                                                    {"p90", "p90"},
                                                    {"99th percentile", "p99"},
                                                    {"p99", "p99"}}};

constexpr std::array<std::string_view, 6> k_whole_data{"them", "these", "those", "it", "the numbers", "the data"};

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_letter(char c) {
    return is_word_character(c) && !is_digit(c) && c != '\'';
}

const Replacement* eat_replacement(std::string_view& text, std::span<const Replacement> table) {
    for (const Replacement& row : table) {
        if (may_match(text, row.words) && eat(text, row.words)) {
            return &row;
        }
    }
    return nullptr;
}

// Reads from the front of m_text and writes to m_out. m_open holds what is still to be closed, innermost last: 'p' for
// a parenthesis of the text, 'f' for one that a function in words opened and that ends with its operand.
class Translator {
  public:
    explicit Translator(std::string_view text) : m_text(trim(text)) {}

    std::optional<std::string> run() {
        while (!m_text.empty()) {
            if (!take_number() && !take_words() && !take_name() && !take_symbol()) {
                return std::nullopt;
            }
            m_text = trim(m_text);
        }
        return m_open.empty() && !m_out.empty() ? std::optional(m_out) : std::nullopt;
    }

  private:
    void write(std::string_view symbols) {
        // Two operands side by side stay two, for the parser to refuse.
        if (!m_out.empty() && !symbols.empty() && is_word_character(m_out.back()) &&
            is_word_character(symbols.front())) {
            m_out += ' ';
        }
        m_out += symbols;
    }

    void write_operand(std::string_view symbols) {
        write(symbols);
        close_functions();
    }

    void close_functions() {
        while (!m_open.empty() && m_open.back() == 'f') {
            m_out += ')';
            m_open.pop_back();
        }
    }

    bool take_number() {
        if (!is_digit(m_text.front()) && m_text.front() != '.') {
            return false;
        }
        // "90th percentile" and "25th" begin with digits too.
        std::string_view rest = m_text;
        if (!eat_statistic(rest).empty()) {
            return false;
        }
        std::size_t end = 0;
        while (end < m_text.size() && (is_digit(m_text[end]) || m_text[end] == '.')) {
            ++end;
        }
        std::size_t exponent = end + 1;
        if (end < m_text.size() && (m_text[end] == 'e' || m_text[end] == 'E')) {
            exponent += exponent < m_text.size() && (m_text[exponent] == '-' || m_text[exponent] == '+') ? 1 : 0;
            if (exponent < m_text.size() && is_digit(m_text[exponent])) {
                end = std::min(m_text.find_first_not_of("0123456789", exponent), m_text.size());
            }
        }
        write_operand(m_text.substr(0, end));
        m_text.remove_prefix(end);
        return true;
    }

    bool take_words() {
        if (const Replacement* row = eat_replacement(m_text, k_operators)) {
            write(row->symbols);
            return true;
        }
        if (const Replacement* row = eat_replacement(m_text, k_functions)) {
            write(row->symbols);
            m_out += '(';
            m_open += 'f';
            return true;
        }
        if (const Replacement* row = eat_replacement(m_text, k_numbers)) {
            write_operand(row->symbols);
            return true;
        }
        return take_statistic() || take_newest();
    }

    bool take_newest() {
        if (!eat_one(m_text, k_newest)) {
            return false;
        }
        write_operand("{it}");
        return true;
    }

    bool take_statistic() {
        std::string_view rest = m_text;
        const std::string_view name = eat_statistic(rest);
        if (name.empty() || rest.starts_with('(')) {
            return false;
        }
        std::string reference = "{" + std::string(name);
        if (eat(rest, "of") && !eat_one(rest, k_whole_data)) {
            eat(rest, "the");
            const std::string column = eat_column(rest);
            if (column.empty()) {
                return false;
            }
            reference += " of " + column;
        }
        write_operand(reference + "}");
        m_text = rest;
        return true;
    }

    // A word, or anything in double quotes, in lower case.
    static std::string eat_column(std::string_view& text) {
        std::size_t end = 0;
        std::string_view column;
        if (text.starts_with('"')) {
            end = text.find('"', 1);
            if (end == std::string_view::npos) {
                return "";
            }
            column = text.substr(1, end - 1);
            ++end;
        } else if (!text.empty() && is_letter(text.front())) {
            while (end < text.size() && is_word_character(text[end])) {
                ++end;
            }
            column = text.substr(0, end);
        }
        text = trim(text.substr(end));
        return column.find_first_of("{}") == std::string_view::npos ? to_lower(column) : "";
    }

    // A function or constant of the calculator.
    bool take_name() {
        std::size_t end = 0;
        while (end < m_text.size() && (is_letter(m_text[end]) || (end > 0 && is_digit(m_text[end])))) {
            ++end;
        }
        const std::string name = to_lower(m_text.substr(0, end));
        const std::string_view rest = trim(m_text.substr(end));
        if (is_function_name(name) && rest.starts_with('(')) {
            write(name);
        } else if (is_constant_name(name)) {
            write_operand(name);
        } else {
            return take_glued_times();
        }
        m_text = rest;
        return true;
    }

    // "3x4"
    bool take_glued_times() {
        const bool glued = m_text.size() > 1 && (m_text[0] == 'x' || m_text[0] == 'X') && is_digit(m_text[1]);
        if (!glued || m_out.empty() || !is_digit(m_out.back())) {
            return false;
        }
        m_out += '*';
        m_text.remove_prefix(1);
        return true;
    }

    bool take_symbol() {
        const char symbol = m_text.front();
        if (symbol == '(') {
            m_open += 'p';
        } else if (symbol == ')' && !m_open.empty() && m_open.back() == 'p') {
            m_open.pop_back();
        } else if (std::string_view("+-*/%^!").find(symbol) == std::string_view::npos &&
                   (symbol != ',' || m_open.empty())) {
            return false;
        }
        m_out += symbol;
        if (symbol == ')') {
            close_functions();
        }
        m_text.remove_prefix(1);
        return true;
    }

    std::string_view m_text;
    std::string m_out{};
    std::string m_open{};
};

}  // namespace

std::string_view eat_statistic(std::string_view& text) {
    if (eat(text, "trend") || eat(text, "slope")) {
        return "trend";
    }
    const Replacement* row = eat_replacement(text, k_statistics);
    return row == nullptr ? "" : row->symbols;
}

std::optional<std::string> translate_words(std::string_view text) {
    return Translator(text).run();
}

}  // namespace mt
