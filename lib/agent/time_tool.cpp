#include <fmt/chrono.h>
#include <fmt/core.h>

#include <chrono>
#include <optional>

#include "agent/arguments.h"
#include "agent/builtin_tools.h"
#include "agent/utc_offset.h"
#include "base/text.h"

namespace mt {
namespace {

class CurrentTimeTool final : public Tool {
  public:
    [[nodiscard]] const ToolSpec& spec() const override { return m_spec; }
    [[nodiscard]] bool pure() const override { return false; }
    [[nodiscard]] std::string_view feature() const override { return ""; }

    Result<std::string> call(const std::string& arguments, const ToolEnvironment& environment,
                             const Context& /*context*/) override {
        const std::string text = text_argument(arguments, "utc_offset");
        const std::optional<std::chrono::minutes> offset = parse_utc_offset(text.empty() ? "Z" : text);
        if (!offset) {
            return Error{Code::invalid, fmt::format("{} is no distance from UTC: write +02:00 or Z", quote(text))};
        }
        const auto local = std::chrono::floor<std::chrono::seconds>(environment.clock.wall()) + *offset;
        const std::tm parts = fmt::gmtime(std::chrono::system_clock::to_time_t(local));
        return fmt::format("{:%Y-%m-%dT%H:%M:%S}{}, {:%A}", parts, format_utc_offset(*offset), parts);
    }

  private:
    ToolSpec m_spec{
        "current_time",
        "The current date and time as RFC 3339 with the day of the week, in UTC or at a given distance from UTC.",
        R"({"type":"object","properties":{"utc_offset":{"type":"string","description":"for example +02:00"}},)"
        R"("additionalProperties":false})"};
};

}  // namespace

std::unique_ptr<Tool> make_current_time_tool() {
    return std::make_unique<CurrentTimeTool>();
}

}  // namespace mt
