#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model.h"
#include "base/result.h"

namespace mt::api {

/// Sorted by name: the ordered kind looks every name up from the front, which is quadratic in a client's hands.
using SortedJson = nlohmann::json;

/// The messages of a chat completion request. Errors: invalid with `param`.
Result<std::vector<Message>> read_messages(const SortedJson& list);

/// Its tools, functions all of them. Errors: invalid with `param`.
Result<std::vector<ToolSpec>> read_tools(const SortedJson& list);

/// The member of that name, null when it is absent or null.
const SortedJson* member(const SortedJson& object, std::string_view name);

/// "'messages[0].role' is to be a text", with `param`.
Error wrong(std::string param, std::string_view what);

/// JSON text in one line.
std::string line_of(const SortedJson& json);

}  // namespace mt::api
