#include "agent/tool.h"

#include <algorithm>
#include <utility>

#include "agent/arguments.h"
#include "agent/builtin_tools.h"

namespace mt {

std::vector<std::unique_ptr<Tool>> make_builtin_tools() {
    std::vector<std::unique_ptr<Tool>> tools;
    tools.push_back(make_calculator_tool());
    tools.push_back(make_current_time_tool());
    tools.push_back(make_remember_tool());
    tools.push_back(make_recall_tool());
    tools.push_back(make_analyze_tool());
    return tools;
}

ToolBox ToolBox::builtin() {
    return ToolBox(make_builtin_tools());
}

ToolBox::ToolBox(std::vector<std::unique_ptr<Tool>> tools) : m_tools(std::move(tools)) {}

Tool* ToolBox::find(std::string_view name) const {
    const auto found =
        std::find_if(m_tools.begin(), m_tools.end(), [name](const auto& tool) { return tool->spec().name == name; });
    return found == m_tools.end() ? nullptr : found->get();
}

Result<void> ToolBox::check_arguments(const Tool& tool, const std::string& arguments) {
    return check_schema(tool.spec().parameters, arguments);
}

}  // namespace mt
