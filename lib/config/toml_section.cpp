#include "config/toml_section.h"

#include <fmt/core.h>

#include "base/text.h"

namespace mt {
namespace {

std::optional<Value> to_value(const toml::node& node) {
    if (const auto number = node.value_exact<std::int64_t>()) {
        return *number;
    }
    if (const auto truth = node.value_exact<bool>()) {
        return *truth;
    }
    if (const auto text = node.value_exact<std::string>()) {
        return *text;
    }
    const toml::array* list = node.as_array();
    if (list == nullptr) {
        return std::nullopt;
    }
    std::vector<std::string> texts;
    for (const toml::node& entry : *list) {
        const std::optional<std::string> text = entry.value_exact<std::string>();
        if (!text) {
            return std::nullopt;
        }
        texts.push_back(*text);
    }
    return texts;
}

}  // namespace

TomlFaults::TomlFaults(std::string file) : m_file(file.empty() ? "tenants.toml" : std::move(file)) {}

void TomlFaults::add(const toml::source_region& where, std::string_view message) {
    m_lines.push_back(fmt::format("{}:{}: {}", m_file, where.begin.line, message));
}

std::string TomlFaults::text() const {
    return join(m_lines, "\n");
}

std::optional<Value> checked_value(const FieldRule& rule, const toml::node& node, TomlFaults& faults) {
    const std::optional<Value> value = to_value(node);
    if (!value) {
        faults.add(node.source(), fmt::format("{}: wrong type, expected {}", rule.name, expectation(rule)));
        return std::nullopt;
    }
    Result<Value> checked = check_value(rule, *value);
    if (!checked) {
        faults.add(node.source(), checked.error().message);
        return std::nullopt;
    }
    return *std::move(checked);
}

std::string unknown_key(std::string_view key, std::string_view section, std::span<const std::string_view> names) {
    return fmt::format("unknown key {} in {}{}", quote(key), section, suggestion(key, names));
}

}  // namespace mt
