#include "agent/arguments.h"
#include "agent/builtin_tools.h"
#include "agent/data_table.h"
#include "agent/statistics.h"

namespace mt {
namespace {

class AnalyzeTool final : public Tool {
  public:
    [[nodiscard]] const ToolSpec& spec() const override { return m_spec; }
    [[nodiscard]] bool pure() const override { return true; }
    [[nodiscard]] std::string_view feature() const override { return "advanced-analytics"; }

    Result<std::string> call(const std::string& arguments, const ToolEnvironment& /*environment*/,
                             const Context& /*context*/) override {
        const Result<std::vector<DataColumn>> columns =
            read_data_table(text_argument(arguments, "data"), text_argument(arguments, "column"));
        if (!columns) {
            return columns.error();
        }
        std::string text;
        for (const DataColumn& column : *columns) {
            const Result<Statistics> statistics = describe_numbers(column.values);
            if (!statistics) {
                return statistics.error();
            }
            text += text.empty() ? "" : "\n";
            text += column.name.empty() ? "" : column.name + ": ";
            text += format_statistics(*statistics);
        }
        return text;
    }

  private:
    ToolSpec m_spec{
        "analyze",
        "Statistics of a series of numbers or of the numeric columns of CSV: count, sum, mean, median, sample standard "
        "deviation, minimum, maximum, percentiles and trend.",
        R"({"type":"object","properties":{)"
        R"("data":{"type":"string","description":"numbers between commas, blanks or lines, or CSV with a header"},)"
        R"("column":{"type":"string","description":"the one column of the CSV to look at"}},)"
        R"("required":["data"],"additionalProperties":false})"};
};

}  // namespace

std::unique_ptr<Tool> make_analyze_tool() {
    return std::make_unique<AnalyzeTool>();
}

}  // namespace mt
