#pragma once

#include <string>
#include <string_view>

#include "base/json_text.h"

namespace mt::api {

/// The members of a JSON object in one line, without the braces: "\"a\":1,\"b\":2". "" when `object` is none. Members
/// that `without` names (a list separated by blanks) are left out.
std::string json_members(std::string_view object, std::string_view without = {});

/// A JSON value in one line, "null" when `value` is none.
std::string json_line(std::string_view value);

}  // namespace mt::api
