#include "agent/calculator.h"

#include <fmt/core.h>

#include <charconv>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "agent/calculator_functions.h"
#include "agent/numbers.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr std::size_t k_max_length = 10'000;
constexpr int k_max_depth = 200;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Recursive descent, a function a level: sum > product > sign > power > postfix > primary. It goes on after an
// arithmetic fault (with NaN), so that a syntax error further on is found and told first.
class Parser {
  public:
    explicit Parser(std::string_view text) : m_text(text) {}

    double parse() {
        const double value = sum();
        if (!m_syntax && peek() != '\0') {
            unexpected();
        }
        return value;
    }

    [[nodiscard]] const std::optional<std::string>& syntax() const { return m_syntax; }
    [[nodiscard]] const std::optional<std::string>& fault() const { return m_fault; }

  private:
    // The next character after blanks; NUL at the end and after a syntax error, which ends every loop.
    char peek() {
        while (m_at < m_text.size() && std::string_view(" \t\r\n").find(m_text[m_at]) != std::string_view::npos) {
            ++m_at;
        }
        return m_syntax || m_at >= m_text.size() ? '\0' : m_text[m_at];
    }

    bool take(char wanted) {
        if (peek() != wanted) {
            return false;
        }
        ++m_at;
        return true;
    }

    double refuse(std::string message) {
        if (!m_syntax) {
            m_syntax = std::move(message);
        }
        return NAN;
    }

    double unexpected() {
        if (peek() == '\0') {
            return refuse(fmt::format("the expression ends too early, at position {}", m_text.size() + 1));
        }
        if (m_text[m_at] == ',') {
            return refuse(fmt::format("unexpected ',' at position {} (write 1000, not 1,000)", m_at + 1));
        }
        std::size_t end = m_at + 1;
        while (is_letter(m_text[m_at]) && end < m_text.size() && is_letter(m_text[end])) {
            ++end;
        }
        return refuse(fmt::format("unexpected {} at position {}", quote(m_text.substr(m_at, end - m_at)), m_at + 1));
    }

    double fault_at(std::size_t position, std::string_view what) {
        if (!m_fault) {
            m_fault = fmt::format("{} at position {}", what, position + 1);
        }
        return NAN;
    }

    double bounded(double value, std::size_t position) {
        return std::isfinite(value) ? value : fault_at(position, "the result is too large");
    }

    double sum() {
        double value = product();
        for (char next = peek(); next == '+' || next == '-'; next = peek()) {
            const std::size_t position = m_at++;
            const double right = product();
            value = bounded(next == '+' ? value + right : value - right, position);
        }
        return value;
    }

    double product() {
        double value = sign();
        for (char next = peek(); next == '*' || next == '/' || next == '%'; next = peek()) {
            const std::size_t position = m_at++;
            const double right = sign();
            if (next == '*') {
                value = bounded(value * right, position);
            } else if (right == 0) {
                value = fault_at(position, "division by zero");
            } else {
                value = bounded(next == '/' ? value / right : std::fmod(value, right), position);
            }
        }
        return value;
    }

    // Every way down passes here, so the depth is counted here.
    double sign() {
        if (++m_depth > k_max_depth) {
            return refuse(fmt::format("more than {} levels deep at position {}", k_max_depth, m_at + 1));
        }
        bool negative = false;
        for (char next = peek(); next == '+' || next == '-'; next = peek()) {
            negative = negative != (next == '-');
            ++m_at;
        }
        const double value = power();
        --m_depth;
        return negative ? -value : value;
    }

    double power() {
        const double base = postfix();
        if (peek() != '^' && !(peek() == '*' && m_text.substr(m_at, 2) == "**")) {
            return base;
        }
        const std::size_t position = m_at;
        m_at += m_text[m_at] == '^' ? 1 : 2;
        const double exponent = sign();
        if (base == 0 && exponent < 0) {
            return fault_at(position, "division by zero");
        }
        const double value = std::pow(base, exponent);
        if (std::isnan(value)) {
            return fault_at(position, fmt::format("a negative number to the power of {}", format_number(exponent)));
        }
        return bounded(value, position);
    }

    double postfix() {
        double value = primary();
        while (peek() == '!') {
            const std::size_t position = m_at++;
            const double product = factorial(value);
            value = std::isnan(product)
                        ? fault_at(position, fmt::format("factorial is not defined for {}", format_number(value)))
                        : bounded(product, position);
        }
        return value;
    }

    double primary() {
        const char next = peek();
        if (is_digit(next) || next == '.') {
            return number();
        }
        if (is_letter(next)) {
            return name();
        }
        if (next != '(') {
            return unexpected();
        }
        ++m_at;
        const double value = sum();
        return close(value);
    }

    double close(double value) {
        if (take(')')) {
            return value;
        }
        return peek() == '\0' ? refuse(fmt::format("')' is missing at position {}", m_text.size() + 1)) : unexpected();
    }

    double number() {
        double value = 0;
        const char* start = m_text.data() + m_at;
        const auto [stop, fault] = std::from_chars(start, m_text.data() + m_text.size(), value);
        if (fault == std::errc::result_out_of_range) {
            return refuse(fmt::format("the number at position {} is too large or too small", m_at + 1));
        }
        if (fault != std::errc{}) {
            return unexpected();
        }
        m_at += static_cast<std::size_t>(stop - start);
        return value;
    }

    double name() {
        const std::size_t start = m_at;
        while (m_at < m_text.size() && (is_letter(m_text[m_at]) || is_digit(m_text[m_at]))) {
            ++m_at;
        }
        const std::string word = to_lower(m_text.substr(start, m_at - start));
        const CalculatorFunction* function = find_calculator_function(word);
        if (function != nullptr) {
            return call(*function, start);
        }
        const std::optional<double> constant = find_calculator_constant(word);
        if (constant) {
            return *constant;
        }
        return refuse(fmt::format("{} at position {} is no function or constant{}", quote(word), start + 1,
                                  suggest_calculator_name(word)));
    }

    double call(const CalculatorFunction& function, std::size_t start) {
        if (!take('(')) {
            return refuse(fmt::format("{} needs its arguments in parentheses at position {}", function.name, m_at + 1));
        }
        std::vector<double> arguments;
        if (peek() != ')') {
            do {
                arguments.push_back(sum());
            } while (take(','));
        }
        close(0);
        if (m_syntax) {
            return NAN;
        }
        if (arguments.size() < function.least || arguments.size() > function.most) {
            return refuse(fmt::format("{} at position {} takes {}, not {}", function.name, start + 1, arity(function),
                                      arguments.size()));
        }
        return m_fault ? NAN : apply(function, arguments, start);
    }

    static std::string arity(const CalculatorFunction& function) {
        if (function.least == function.most) {
            return fmt::format("{} argument{}", function.least, function.least == 1 ? "" : "s");
        }
        return function.most == 2 ? "1 or 2 arguments" : "1 argument or more";
    }

    double apply(const CalculatorFunction& function, const std::vector<double>& arguments, std::size_t start) {
        const double value = function.apply(arguments);
        if (std::isnan(value)) {
            return fault_at(start, fmt::format("{} is not defined for {}", function.name, format_number(arguments[0])));
        }
        return bounded(value, start);
    }

    std::string_view m_text;
    std::size_t m_at = 0;
    int m_depth = 0;
    std::optional<std::string> m_syntax;  ///< first syntax error
    std::optional<std::string> m_fault;   ///< first arithmetic fault
};

}  // namespace

Result<double> evaluate(std::string_view expression) {
    if (expression.size() > k_max_length) {
        return Error{Code::invalid, fmt::format("the expression has {} characters; at most {} are allowed",
                                                expression.size(), k_max_length)};
    }
    Parser parser(expression);
    const double value = parser.parse();
    if (parser.syntax()) {
        return Error{Code::invalid, *parser.syntax()};
    }
    if (parser.fault()) {
        return Error{Code::invalid, *parser.fault()};
    }
    return value;
}

bool is_expression(std::string_view expression) {
    if (expression.size() > k_max_length) {
        return false;
    }
    Parser parser(expression);
    parser.parse();
    return !parser.syntax();
}

bool is_function_name(std::string_view name) {
    return find_calculator_function(name) != nullptr;
}

bool is_constant_name(std::string_view name) {
    return find_calculator_constant(name).has_value();
}

}  // namespace mt
