// The parameters of a tool: a JSON schema, written as JSON text or as a TOML table.

#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "config/toml_section.h"

namespace mt {
namespace {

using Json = nlohmann::ordered_json;

// JSON knows no dates, and neither infinity nor NaN: nothing for those.
std::optional<Json> to_json(const toml::node& node) {  // NOLINT(misc-no-recursion): as deep as the file
    if (const toml::table* table = node.as_table()) {
        Json object = Json::object();
        for (const auto& [key, value] : *table) {
            std::optional<Json> member = to_json(value);
            if (!member) {
                return std::nullopt;
            }
            object[std::string(key.str())] = *std::move(member);
        }
        return object;
    }
    if (const toml::array* array = node.as_array()) {
        Json list = Json::array();
        for (const toml::node& value : *array) {
            std::optional<Json> entry = to_json(value);
            if (!entry) {
                return std::nullopt;
            }
            list.push_back(*std::move(entry));
        }
        return list;
    }
    if (const auto number = node.value_exact<std::int64_t>()) {
        return Json(*number);
    }
    if (const auto number = node.value_exact<double>()) {
        return std::isfinite(*number) ? std::optional<Json>(*number) : std::nullopt;
    }
    if (const auto truth = node.value_exact<bool>()) {
        return Json(*truth);
    }
    const auto text = node.value_exact<std::string>();
    return text ? std::optional<Json>(*text) : std::nullopt;
}

}  // namespace

std::optional<std::string> read_parameters(const toml::node& node, TomlFaults& faults) {
    const auto fault = [&](std::string_view message) {
        faults.add(node.source(), fmt::format("parameters: {}", message));
        return std::nullopt;
    };
    Json schema;
    if (const auto text = node.value_exact<std::string>()) {
        schema = Json::parse(*text, nullptr, false);
        if (schema.is_discarded()) {
            return fault("the text is no valid JSON");
        }
    } else if (node.is_table()) {
        std::optional<Json> converted = to_json(node);
        if (!converted) {
            return fault("dates, inf and nan have no JSON");
        }
        schema = *std::move(converted);
    }
    if (!schema.is_object()) {
        return fault("expected a JSON schema: a table, or the text of a JSON object");
    }
    if (!schema.contains("type")) {
        schema["type"] = "object";
    }
    if (schema["type"] != "object") {
        return fault("the arguments of a tool are an object: type = \"object\"");
    }
    if (schema.contains("properties") && !schema["properties"].is_object()) {
        return fault("properties is an object: name -> schema");
    }
    return schema.dump();
}

std::vector<std::string> property_names(const std::string& parameters) {
    const Json schema = Json::parse(parameters, nullptr, false);
    std::vector<std::string> names;
    if (schema.is_object() && schema.contains("properties")) {
        for (const auto& [name, property] : schema["properties"].items()) {
            names.push_back(name);
        }
    }
    return names;
}

}  // namespace mt
