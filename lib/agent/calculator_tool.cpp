#include "agent/arguments.h"
#include "agent/builtin_tools.h"
#include "agent/calculator.h"
#include "agent/numbers.h"

namespace mt {
namespace {

class CalculatorTool final : public Tool {
  public:
    [[nodiscard]] const ToolSpec& spec() const override { return m_spec; }
    [[nodiscard]] bool pure() const override { return true; }
    [[nodiscard]] std::string_view feature() const override { return ""; }

    Result<std::string> call(const std::string& arguments, const ToolEnvironment& /*environment*/,
                             const Context& /*context*/) override {
        const Result<double> value = evaluate(text_argument(arguments, "expression"));
        if (!value) {
            return value.error();
        }
        return format_exact(*value);
    }

  private:
    ToolSpec m_spec{
        "calculator",
        "Evaluates an arithmetic expression exactly as written: + - * / % ^ ! parentheses, pi, e, sqrt cbrt abs ln log "
        "log2 exp sin cos tan asin acos atan floor ceil trunc round pow min max sum mean median.",
        R"({"type":"object","properties":{"expression":{"type":"string","description":"such as (3 + 4) * 2 ^ 0.5"}},)"
        R"("required":["expression"],"additionalProperties":false})"};
};

}  // namespace

std::unique_ptr<Tool> make_calculator_tool() {
    return std::make_unique<CalculatorTool>();
}

}  // namespace mt
