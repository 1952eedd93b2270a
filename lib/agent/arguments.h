#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mt {

/// Names and texts of the arguments of a tool call.
using TextArguments = std::vector<std::pair<std::string, std::string>>;

/// JSON text of an object with these members; bytes that are no UTF-8 become U+FFFD.
std::string write_arguments(const TextArguments& arguments);

/// The string member `name` of the JSON object in `arguments`; "" when it is missing or no string.
std::string text_argument(const std::string& arguments, std::string_view name);

/// Checks JSON text against a JSON schema (draft 7). Errors: invalid, in one sentence that names the field; internal
/// when the schema itself is no schema.
Result<void> check_schema(const std::string& schema, const std::string& arguments);

}  // namespace mt
