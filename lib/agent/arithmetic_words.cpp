#include "agent/arithmetic_words.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "agent/calculator.h"
#include "agent/numbers.h"
#include "agent/word_translator.h"
#include "agent/words.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr std::size_t k_nowhere = std::string_view::npos;
constexpr std::size_t k_longest = 2000;         ///< characters; longer texts are no spoken arithmetic
constexpr std::size_t k_longest_command = 300;  ///< splitting costs a translation for each try

// A command with two operands: what stands between them, and the expression. The shape names them A and B, in spoken
// order; one that is not spoken ("add 10", "multiply by 3") is the newest result.
struct Verb {
    std::string_view name;
    std::array<std::string_view, 4> separators;
    std::string_view shape;
};

constexpr std::array<Verb, 14> k_verbs{{{"multiply", {"by", "with", "and", "times"}, "A*B"},
                                        {"add", {"to", "and", "with"}, "B+A"},
                                        {"subtract", {"from"}, "B-A"},
                                        {"divide", {"by"}, "A/B"},
                                        {"raise", {"to the power of", "to the power", "to"}, "A^B"},
                                        {"increase", {"by"}, "A+B"},
                                        {"decrease", {"by"}, "A-B"},
                                        {"reduce", {"by"}, "A-B"},
                                        {"round", {"to"}, "round(A,B)"},
                                        {"sum of", {"and"}, "A+B"},
                                        {"product of", {"and"}, "A*B"},
                                        {"difference between", {"and"}, "A-B"},
                                        {"difference of", {"and"}, "A-B"},
                                        {"quotient of", {"and"}, "A/B"}}};

struct OneOperandVerb {
    std::string_view name;
    std::string_view shape;
};

constexpr std::array<OneOperandVerb, 9> k_one_operand_verbs{{{"square", "A^2"},
                                                             {"cube", "A^3"},
                                                             {"double", "2*A"},
                                                             {"triple", "3*A"},
                                                             {"halve", "A/2"},
                                                             {"negate", "-A"},
                                                             {"round up", "ceil(A)"},
                                                             {"round down", "floor(A)"},
                                                             {"round", "round(A)"}}};

struct Token {
    std::string_view text;
    bool comma_after = false;
    bool ends_sentence = false;
};

// Words between blanks and commas, without a sentence's end at their end.
std::vector<Token> split_tokens(std::string_view text) {
    constexpr std::string_view k_between = ", ;\t\r\n";
    std::vector<Token> tokens;
    for (std::size_t at = text.find_first_not_of(k_between); at != k_nowhere;) {
        const std::size_t end = std::min(text.find_first_of(k_between, at), text.size());
        const std::size_t next = text.find_first_not_of(k_between, end);
        Token token{text.substr(at, end - at)};
        token.comma_after = text.substr(end, next == k_nowhere ? k_nowhere : next - end).find(',') != k_nowhere;
        while (!token.text.empty() && std::string_view(".?!:").find(token.text.back()) != k_nowhere) {
            token.text.remove_suffix(1);
            token.ends_sentence = true;
        }
        tokens.push_back(token);
        at = next;
    }
    return tokens;
}

bool joins_numbers(std::string_view token) {
    return token == "&" || to_lower(token) == "and" || to_lower(token) == "or";
}

// A text that is nothing but two or more numbers, as "3, 5, 8".
std::optional<std::string> whole_list(std::string_view text) {
    std::vector<std::string> numbers;
    for (const Token& token : split_tokens(text)) {
        if (parse_number(token.text)) {
            numbers.emplace_back(token.text);
        } else if (!joins_numbers(token.text)) {
            return std::nullopt;
        }
    }
    return numbers.size() < 2 ? std::nullopt : std::optional(join(numbers, ", "));
}

// "the mean of 3, 5 and 8" as "mean(3, 5, 8)".
std::optional<std::string> list_function(std::string_view text) {
    constexpr std::array<std::string_view, 5> k_functions{"mean", "sum", "median", "min", "max"};
    eat(text, "the");
    const std::string_view name = eat_statistic(text);
    if (std::find(k_functions.begin(), k_functions.end(), name) == k_functions.end() || !eat(text, "of")) {
        return std::nullopt;
    }
    const std::optional<std::string> list = whole_list(text);
    return list ? std::optional(fmt::format("{}({})", name, *list)) : std::nullopt;
}

std::optional<std::string> operand(std::string_view text) {
    std::optional<std::string> function = list_function(text);
    return function ? function : translate_words(text);
}

// An operand as part of a larger expression.
std::string wrapped(const std::string& expression) {
    const bool atomic = expression.find_first_of("+-*/%^!(,") == k_nowhere;
    return atomic ? expression : "(" + expression + ")";
}

std::string fill(std::string_view shape, const std::string& a, const std::string& b) {
    std::string expression;
    for (const char c : shape) {
        expression += c == 'A' ? wrapped(a) : c == 'B' ? wrapped(b) : std::string(1, c);
    }
    return expression;
}

// Splits at `separator` so that both sides are arithmetic; the last such place wins.
std::optional<std::string> split_operands(std::string_view text, std::string_view separator, const Verb& verb) {
    constexpr int k_tries = 4;
    std::string_view left = text;
    for (int i = 0; i < k_tries; ++i) {
        const std::size_t at = find_last_words(left, separator);
        if (at == k_nowhere) {
            break;
        }
        left = text.substr(0, at);
        std::string_view right = text.substr(at);
        eat(right, separator);
        const std::optional<std::string> a = trim(left).empty() ? "{it}" : operand(trim(left));
        const std::optional<std::string> b = a ? operand(right) : std::nullopt;
        if (b) {
            return fill(verb.shape, *a, *b);
        }
    }
    return std::nullopt;
}

std::optional<std::string> apply_verb(std::string_view text, const Verb& verb) {
    if (const std::optional<std::string> list = whole_list(text); list && verb.name == "add") {
        return fmt::format("sum({})", *list);
    }
    for (const std::string_view separator : verb.separators) {
        if (!separator.empty()) {
            std::optional<std::string> expression = split_operands(text, separator, verb);
            if (expression) {
                return expression;
            }
        }
    }
    const bool needs_one = verb.shape.starts_with('B');
    const std::optional<std::string> only = needs_one ? operand(text) : std::nullopt;
    return only ? std::optional(fill(verb.shape, *only, "{it}")) : std::nullopt;
}

std::optional<std::string> command(std::string_view text) {
    if (text.size() > k_longest_command) {
        return operand(text);
    }
    eat(text, "take");
    eat(text, "the");
    for (const Verb& verb : k_verbs) {
        std::string_view rest = text;
        if (may_match(rest, verb.name) && eat(rest, verb.name)) {
            std::optional<std::string> expression = apply_verb(rest, verb);
            if (expression) {
                return expression;
            }
        }
    }
    for (const OneOperandVerb& verb : k_one_operand_verbs) {
        std::string_view rest = text;
        if (may_match(rest, verb.name) && eat(rest, verb.name)) {
            const std::optional<std::string> a = operand(rest);
            if (a) {
                return fill(verb.shape, *a, "");
            }
        }
    }
    return operand(text);
}

// References stand for numbers.
bool is_well_formed(const std::string& expression) {
    std::string plain;
    bool inside = false;
    for (const char c : expression) {
        inside = inside || c == '{';
        plain += inside ? "" : std::string(1, c);
        if (c == '}') {
            inside = false;
            plain += '1';
        }
    }
    return is_expression(plain);
}

}  // namespace

std::optional<std::string> arithmetic_expression(std::string_view text) {
    if (text.size() > k_longest) {
        return std::nullopt;
    }
    std::optional<std::string> expression = command(trim(text));
    return expression && is_well_formed(*expression) ? expression : std::nullopt;
}

std::optional<std::string> whole_reference(std::string_view text) {
    const std::optional<std::string> expression = text.size() > k_longest ? std::nullopt : translate_words(text);
    if (!expression || !expression->starts_with('{') || expression->find('}') != expression->size() - 1) {
        return std::nullopt;
    }
    return expression->substr(1, expression->size() - 2);
}

bool has_operation(std::string_view expression) {
    for (std::size_t i = 1; i < expression.size(); ++i) {
        const char before = expression[i - 1];
        const bool sign = expression[i] == '+' || expression[i] == '-';
        const bool call = expression[i] == '(' && is_word_character(before);
        if (std::string_view("*/%^!").find(expression[i]) != k_nowhere || (sign && before != 'e') || call) {
            return true;
        }
    }
    return false;
}

std::string number_list(std::string_view text) {
    std::vector<std::string> list;
    std::size_t numbers = 0;
    bool comma_before = false;
    for (const Token& token : split_tokens(text)) {
        const bool is_number = parse_number(token.text).has_value();
        const bool between_commas = !list.empty() && comma_before && token.comma_after;
        if (is_number || (between_commas && !joins_numbers(token.text))) {
            list.emplace_back(token.text);
            numbers += is_number ? 1 : 0;
        }
        const bool goes_on = is_number || between_commas || (!list.empty() && joins_numbers(token.text));
        if (!goes_on || token.ends_sentence) {
            if (numbers >= 2) {
                break;
            }
            list.clear();
            numbers = 0;
        }
        comma_before = token.comma_after;
    }
    while (!list.empty() && !parse_number(list.back())) {
        list.pop_back();
    }
    return numbers < 2 ? "" : join(list, ", ");
}

}  // namespace mt
