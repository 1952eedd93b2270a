#include <fmt/core.h>

#include "base/text.h"
#include "config/toml_section.h"
#include "config/url_rules.h"

namespace mt {
namespace {

using T = ToolConfig;
using K = FieldKind;
using ToolField = SectionField<ToolConfig>;

constexpr std::array<std::string_view, 5> k_methods{"GET", "POST", "PUT", "PATCH", "DELETE"};
constexpr std::array<std::string_view, 2> k_tables{"parameters", "headers"};
constexpr std::int64_t k_day_ms = 86'400'000;
constexpr std::int64_t k_most_bytes = 64LL * 1024 * 1024;
constexpr std::string_view k_how = "tools are written as [tools.NAME]";

const std::array k_tool_fields{
    ToolField{{"description", K::text, 1, 4096, {}, nullptr, "what the model is told"}, &T::description},
    ToolField{{"method", K::text, 1, 8, k_methods, nullptr, "of the request"}, &T::method},
    ToolField{{"url", K::text, 1, 2048, {}, check_tool_url, "of the request"}, &T::url},
    ToolField{{"timeout", K::duration, 1, k_day_ms, {}, nullptr, "whole call"}, &T::timeout_ms},
    ToolField{{"max_size", K::size, 1, k_most_bytes, {}, nullptr, "of a reply"}, &T::max_size},
    ToolField{{"pure", K::boolean, 0, 1, {}, nullptr, "depends on the arguments alone"}, &T::pure},
};

bool is_alphanumeric(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// What OpenAI's API takes as the name of a function.
Result<void> check_tool_name(std::string_view name) {
    constexpr std::size_t k_longest = 64;
    const bool valid = !name.empty() && name.size() <= k_longest && std::all_of(name.begin(), name.end(), [](char c) {
        return is_alphanumeric(c) || c == '_' || c == '-';
    });
    if (!valid) {
        return Error{Code::invalid,
                     fmt::format("{} is no name of a tool: use 1 to 64 of a-z, A-Z, 0-9, '_' and '-'", quote(name))};
    }
    if (std::find(k_builtin_tools.begin(), k_builtin_tools.end(), name) != k_builtin_tools.end()) {
        return Error{Code::invalid, fmt::format("the tool '{}' is built in: give this one another name", name)};
    }
    return {};
}

// RFC 9110 section 5.6.2, and no field that says how the message itself is sent.
Result<void> check_header_name(std::string_view name) {
    constexpr std::string_view k_token_signs = "!#$%&'*+-.^_`|~";
    constexpr std::array<std::string_view, 9> k_reserved{"host",       "content-length", "transfer-encoding",
                                                         "connection", "keep-alive",     "te",
                                                         "trailer",    "upgrade",        "expect"};
    const bool token = !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
        return is_alphanumeric(c) || k_token_signs.find(c) != std::string_view::npos;
    });
    if (!token) {
        return Error{Code::invalid, fmt::format("{} is no name of a header field", quote(name))};
    }
    if (std::find(k_reserved.begin(), k_reserved.end(), to_lower(name)) != k_reserved.end()) {
        return Error{Code::invalid, fmt::format("the header field {} is written by the client itself", name)};
    }
    return {};
}

// The text before its variables are filled in.
Result<void> check_header_text(std::string_view text) {
    if (!std::all_of(text.begin(), text.end(), [](char c) { return c == '\t' || (c >= ' ' && c < 0x7f); })) {
        return Error{Code::invalid, "the value is one line of visible ASCII"};
    }
    for (std::size_t open = text.find("${"); open != std::string_view::npos; open = text.find("${", open + 2)) {
        const std::size_t end = text.find('}', open);
        const std::string_view name = end == std::string_view::npos ? "" : text.substr(open + 2, end - open - 2);
        const bool valid = !name.empty() &&
                           std::all_of(name.begin(), name.end(), [](char c) { return is_alphanumeric(c) || c == '_'; });
        if (!valid) {
            return Error{Code::invalid, "an environment variable is written ${NAME}"};
        }
    }
    return {};
}

void read_headers(const toml::node& node, ToolConfig& tool, TomlFaults& faults) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
        return faults.add(node.source(), "headers: expected a table, such as { Authorization = \"Bearer ${TOKEN}\" }");
    }
    for (const auto& [key, value] : *table) {
        const std::optional<std::string> text = value.value_exact<std::string>();
        Result<void> valid = check_header_name(key.str());
        if (valid) {
            valid = text ? check_header_text(*text) : Result<void>{Error{Code::invalid, "the value is a text"}};
        }
        if (!valid) {
            faults.add(key.source(), fmt::format("headers: {}: {}", quote(key.str()), valid.error().message));
            continue;
        }
        tool.headers.emplace_back(key.str(), *text);
    }
}

// Whatever stands in braces in the address must be an argument.
void check_placeholders(const toml::table& section, const ToolConfig& tool, TomlFaults& faults) {
    const std::vector<std::string> properties = property_names(tool.parameters);
    const std::vector<std::string_view> known(properties.begin(), properties.end());
    for (const std::string& name : url_placeholders(tool.url)) {
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            faults.add(section.get("url")->source(),
                       fmt::format("url: {{{}}} is no property of the parameters{}", name, suggestion(name, known)));
        }
    }
}

void read_tool(const toml::key& key, const toml::table& section, Config& config, TomlFaults& faults) {
    ToolConfig tool;
    tool.name = key.str();
    tool.parameters = R"({"type":"object","properties":{}})";
    const std::size_t before = faults.count();
    read_section<ToolConfig>(section, {fmt::format("[tools.{}]", key.str()), k_tool_fields, k_tables}, tool, faults);
    if (const toml::node* headers = section.get("headers")) {
        read_headers(*headers, tool, faults);
    }
    if (const toml::node* parameters = section.get("parameters")) {
        tool.parameters = read_parameters(*parameters, faults).value_or(tool.parameters);
    }
    for (const char* needed : {"description", "url"}) {
        if (!section.contains(needed)) {
            faults.add(key.source(), fmt::format("[tools.{}] needs {}", key.str(), needed));
        }
    }
    if (before == faults.count()) {
        check_placeholders(section, tool, faults);
    }
    config.tools[tool.name] = std::move(tool);  // also with a fault: tenants that name it have none
}

}  // namespace

void read_tools(const toml::node& node, Config& config, TomlFaults& faults) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
        return faults.add(node.source(), k_how);
    }
    for (const auto& [key, value] : *table) {
        const toml::table* section = value.as_table();
        if (section == nullptr) {
            faults.add(key.source(), k_how);
        } else if (Result<void> named = check_tool_name(key.str()); !named) {
            faults.add(key.source(), named.error().message);
        } else {
            read_tool(key, *section, config, faults);
        }
    }
}

}  // namespace mt
