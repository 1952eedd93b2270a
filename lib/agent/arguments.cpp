#include "agent/arguments.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#define VALIJSON_USE_EXCEPTIONS 1  // a schema that is none would end the process otherwise
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>
#pragma GCC diagnostic pop

#include "base/json_depth.h"
#include "base/text.h"

namespace mt {
namespace {

using Json = nlohmann::json;
using Adapter = valijson::adapters::NlohmannJsonAdapter;
using Fault = valijson::ValidationResults::Error;

// The name in quotes after `marker` at the end of the description: valijson tells the field only there.
std::string name_after(const std::string& description, std::string_view marker) {
    const std::size_t start = description.find(marker);
    const std::size_t end = description.rfind('\'');
    if (start == std::string::npos || start + marker.size() > end) {
        return "";
    }
    return description.substr(start + marker.size(), end - start - marker.size());
}

// "expression" out of {"<root>", "[expression]"}; "" for the whole object.
std::string field_of(const Fault& fault) {
    std::string path;
    for (std::size_t i = 1; i < fault.context.size(); ++i) {
        const std::string& step = fault.context[i];
        const bool bracketed = step.size() >= 2 && step.front() == '[' && step.back() == ']';
        path += (path.empty() ? "" : ".") + (bracketed ? step.substr(1, step.size() - 2) : step);
    }
    return path;
}

std::string known_fields(const Json& schema) {
    std::string names;
    const Json properties = schema.value("properties", Json::object());
    for (const auto& property : properties.items()) {
        names += (names.empty() ? "" : ", ") + property.key();
    }
    return names;
}

std::string sentence(const Fault& fault, const Json& schema) {
    const std::string field = field_of(fault);
    if (fault.description.starts_with("Missing required property")) {
        return fmt::format("field {} is missing", quote(name_after(fault.description, "property '")));
    }
    if (fault.description.starts_with("Object contains a property")) {
        return fmt::format("unknown field {}; the fields are {}",
                           quote(name_after(fault.description, "constraints: '")), known_fields(schema));
    }
    if (!fault.description.starts_with("Value type not permitted")) {
        return fmt::format("field {}: {}", quote(field), fault.description);
    }
    if (field.empty()) {
        return "the arguments must be a JSON object";
    }
    const Json::json_pointer type = Json::json_pointer() / "properties" / field / "type";
    const bool told = schema.contains(type) && schema.at(type).is_string();
    return fmt::format("field {} has the wrong type{}", quote(field),
                       told ? ": it must be a " + schema.at(type).get<std::string>() : "");
}

// The library matches patterns by std::regex, which recurses for every character of a text.
constexpr std::size_t k_longest_matched = 1'000;

bool has_pattern(const Json& schema) {
    const auto pattern = schema.find("pattern");
    if ((pattern != schema.end() && pattern->is_string()) || schema.contains("patternProperties")) {
        return true;
    }
    return schema.is_structured() && std::any_of(schema.begin(), schema.end(), has_pattern);
}

// Of all names and values. Small enough to recurse: is_nested_deeper() was asked before.
std::size_t longest_text(const Json& json) {
    const std::string* text = json.get_ptr<const std::string*>();
    std::size_t longest = text == nullptr ? 0 : text->size();
    if (json.is_structured()) {
        for (const auto& [name, value] : json.items()) {
            longest = std::max({longest, name.size(), longest_text(value)});
        }
    }
    return longest;
}

}  // namespace

std::string write_arguments(const TextArguments& arguments) {
    Json object = Json::object();
    for (const auto& [name, text] : arguments) {
        object[name] = text;
    }
    return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string text_argument(const std::string& arguments, std::string_view name) {
    const Json object = Json::parse(arguments, nullptr, false);
    if (!object.is_object()) {
        return "";
    }
    const auto found = object.find(std::string(name));
    return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Result<void> check_schema(const std::string& schema, const std::string& arguments) {
    if (is_nested_deeper(arguments)) {
        return Error{Code::invalid, "the arguments are nested too deep"};
    }
    const Json target = Json::parse(arguments, nullptr, false);
    if (target.is_discarded()) {
        return Error{Code::invalid, fmt::format("the arguments {} are no JSON", quote(arguments))};
    }
    const Json document = Json::parse(schema, nullptr, false);
    if (!document.is_object()) {
        return Error{Code::internal, "the schema is no JSON object"};
    }
    if (has_pattern(document) && longest_text(target) > k_longest_matched) {
        return Error{Code::invalid, fmt::format("a text in the arguments is longer than {} bytes", k_longest_matched)};
    }
    try {
        valijson::Schema compiled;
        valijson::SchemaParser parser;
        parser.populateSchema(Adapter(document), compiled);
        valijson::Validator validator;
        valijson::ValidationResults results;
        if (validator.validate(compiled, Adapter(target), &results)) {
            return {};
        }
        const std::string why =
            results.numErrors() == 0 ? "the arguments do not fit the schema" : sentence(*results.begin(), document);
        return Error{Code::invalid, why};
    } catch (const std::exception& exception) {
        return Error{Code::internal, fmt::format("cannot check arguments by the schema: {}", exception.what())};
    }
}

}  // namespace mt
