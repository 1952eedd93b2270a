#include "agent/calculator.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>

#include "agent/numbers.h"

namespace {

// The value as text, or the error's message.
std::string answer(const std::string& expression) {
    const mt::Result<double> value = mt::evaluate(expression);
    return value ? mt::format_number(*value) : value.error().message;
}

struct Row {
    const char* expression;
    const char* answer;
};

struct Made {
    std::string expression;
    double value;
};

// Random expressions, fully parenthesised, with the value computed on the way.
class ExpressionMaker {
  public:
    explicit ExpressionMaker(unsigned seed) : m_random(seed) {}

    Made make(int depth) {
        if (depth == 0) {
            const int number = pick(1, 9);
            return {std::to_string(number), static_cast<double>(number)};
        }
        const auto [left, a] = make(depth - 1);
        const auto [right, b] = make(depth - 1);
        switch (pick(0, 4)) {
            case 0:
                return {"(" + left + "+" + right + ")", a + b};
            case 1:
                return {"( " + left + " - " + right + " )", a - b};
            case 2:
                return {left + "*" + right, a * b};
            case 3:
                return {"-(" + left + ")", -a};
            default:
                return {"(" + left + ")/(1+(" + right + ")^2)", a / (1 + b * b)};
        }
    }

  private:
    int pick(int from, int to) { return std::uniform_int_distribution<int>(from, to)(m_random); }

    std::mt19937 m_random;
};

}  // namespace

TEST_CASE("the calculator's values") {
    const Row table[] = {{"2+2*3", "8"},
                         {"(2+2)*3", "12"},
                         {"7 * (3+4)", "49"},
                         {"-2^2", "-4"},
                         {"(-2)^2", "4"},
                         {"2^3^2", "512"},
                         {"2^-1", "0.5"},
                         {"2**10", "1024"},
                         {"10-4-3", "3"},
                         {"100/10/2", "5"},
                         {"7 % 4", "3"},
                         {"-7 % 4", "-3"},
                         {"--5", "5"},
                         {"+-+3", "-3"},
                         {"1e3 + .5", "1000.5"},
                         {"1.5E-3*2", "0.003"},
                         {"0.1+0.2", "0.3"},
                         {"5!", "120"},
                         {"3!!", "720"},
                         {"-3!", "-6"},
                         {"2^3!", "64"},
                         {"0!", "1"},
                         {"sqrt(2)*sqrt(2)", "2"},
                         {"SQRT(16)", "4"},
                         {"log(1000)", "3"},
                         {"log2(8) + ln(e)", "4"},
                         {"exp(0)", "1"},
                         {"sin(pi/2)", "1"},
                         {"cos(0) + tan(0)", "1"},
                         {"asin(1)*2", "3.14159265358979"},
                         {"acos(1) + atan(0)", "0"},
                         {"floor(-1.5) + ceil(1.2) + trunc(-1.7)", "-1"},
                         {"round(2.5) + round(-2.5)", "0"},
                         {"round(3.14159, 2)", "3.14"},
                         {"round(1234, -2)", "1200"},
                         {"round(1e300, 15)", "1e+300"},
                         {"abs(-3)", "3"},
                         {"cbrt(27)", "3"},
                         {"min(3, 1, 2) + max(3, 1, 2)", "4"},
                         {"pow(2, 8)", "256"},
                         {"mean(3, 5, 8) * 12", "64"},
                         {"median(5, 1, 3, 2)", "2.5"},
                         {"sum(1, 2, 3)", "6"},
                         {"2^53", "9007199254740992"},
                         {"2^60", "1.15292150460685e+18"},
                         {"0 * -1", "0"},
                         {" \t2\n+ 2 ", "4"}};
    for (const Row& row : table) {
        CAPTURE(row.expression);
        CHECK(answer(row.expression) == row.answer);
        CHECK(mt::is_expression(row.expression));
    }
}

TEST_CASE("the calculator says what is wrong and where") {
    const Row table[] = {{"1/0", "division by zero at position 2"},
                         {"1 + 5 % 0", "division by zero at position 7"},
                         {"0^-1", "division by zero at position 2"},
                         {"sqrt(-1)", "sqrt is not defined for -1 at position 1"},
                         {"2 * ln(0)", "ln is not defined for 0 at position 5"},
                         {"asin(2)", "asin is not defined for 2 at position 1"},
                         {"(-8)^(1/3)", "a negative number to the power of 0.333333333333333 at position 5"},
                         {"2.5!", "factorial is not defined for 2.5 at position 4"},
                         {"171!", "the result is too large at position 4"},
                         {"10^400", "the result is too large at position 3"},
                         {"1e308*10", "the result is too large at position 6"},
                         {"exp(1000)", "the result is too large at position 1"},
                         {"1e999", "the number at position 1 is too large or too small"},
                         {"", "the expression ends too early, at position 1"},
                         {"2+", "the expression ends too early, at position 3"},
                         {"(2+3", "')' is missing at position 5"},
                         {"2+3)", "unexpected ')' at position 4"},
                         {"2 3", "unexpected '3' at position 3"},
                         {"2 apples", "unexpected 'apples' at position 3"},
                         {"1,000+1", "unexpected ',' at position 2 (write 1000, not 1,000)"},
                         {"1/0)", "unexpected ')' at position 4"},
                         {".", "unexpected '.' at position 1"},
                         {"sqr(4)", "'sqr' at position 1 is no function or constant (did you mean 'sqrt'?)"},
                         {"sqrt 4", "sqrt needs its arguments in parentheses at position 6"},
                         {"pow(2)", "pow at position 1 takes 2 arguments, not 1"},
                         {"max()", "max at position 1 takes 1 argument or more, not 0"},
                         {"nan", "'nan' at position 1 is no function or constant (did you mean 'tan'?)"},
                         {"2 $ 3", "unexpected '$' at position 3"}};
    for (const Row& row : table) {
        CAPTURE(row.expression);
        CHECK(answer(row.expression) == row.answer);
    }
    CHECK(mt::is_expression("1/0"));
    CHECK_FALSE(mt::is_expression("1/0)"));
}

TEST_CASE("nesting and length are bounded") {
    CHECK(answer(std::string(1'000'000, '(')) == "the expression has 1000000 characters; at most 10000 are allowed");
    CHECK(answer(std::string(9'000, '(')).starts_with("more than 200 levels deep"));
    CHECK(answer(std::string(150, '(') + "7" + std::string(150, ')')) == "7");
    CHECK(answer(std::string(9'000, '-') + "7") == "7");
    std::string powers = "1";
    std::string calls = "1";
    for (int i = 0; i < 1000; ++i) {
        powers += "^1";
        calls.insert(0, "abs(");
    }
    CHECK(answer(powers).starts_with("more than 200 levels deep"));
    CHECK(answer(calls).starts_with("more than 200 levels deep"));
}

TEST_CASE("random expressions have the value that C++ gives") {
    ExpressionMaker maker(20261123);
    for (int i = 0; i < 2000; ++i) {
        const Made made = maker.make(1 + i % 5);
        const mt::Result<double> value = mt::evaluate(made.expression);
        CAPTURE(made.expression);
        REQUIRE(value);
        CHECK(*value == doctest::Approx(made.value).epsilon(1e-12));
    }
}

TEST_CASE("numbers are written so that they read back") {
    std::mt19937_64 random(7);
    for (int i = 0; i < 5000; ++i) {
        const auto mantissa = static_cast<double>(static_cast<std::int64_t>(random()));
        const double value = std::ldexp(mantissa, static_cast<int>(random() % 400) - 200);
        CHECK(mt::parse_number(mt::format_exact(value)) == value);
        CHECK(*mt::parse_number(mt::format_number(value)) == doctest::Approx(value).epsilon(1e-14));
    }
    CHECK(mt::format_exact(0.1 + 0.2) == "0.30000000000000004");
    CHECK(mt::format_number(0.1 + 0.2) == "0.3");
    CHECK(mt::format_number(64) == "64");
    CHECK(mt::format_number(-0.0) == "0");
    CHECK(mt::format_exact(-0.0) == "0");
    for (const char* text : {"", "-", "inf", "nan", "1x", "1e999", "0x10", "1 ", "--1"}) {
        CAPTURE(text);
        CHECK_FALSE(mt::parse_number(text));
    }
    CHECK(mt::parse_number("+1.5e2") == 150);
}
