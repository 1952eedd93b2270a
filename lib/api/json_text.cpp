#include "api/json_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace mt::api {
namespace {

std::string line_of(const nlohmann::json& json) {
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string json_members(std::string_view object, std::string_view without) {
    const nlohmann::json json = nlohmann::json::parse(object, nullptr, false);
    if (!json.is_object()) {
        return {};
    }
    const std::vector<std::string> unwanted = split_list(without, ' ');
    std::string members;
    for (const auto& [name, value] : json.items()) {
        if (std::find(unwanted.begin(), unwanted.end(), name) == unwanted.end()) {
            members += members.empty() ? "" : ",";
            members += json_string(name) + ":" + line_of(value);
        }
    }
    return members;
}

std::string json_line(std::string_view value) {
    const nlohmann::json json = nlohmann::json::parse(value, nullptr, false);
    return json.is_discarded() ? "null" : line_of(json);
}

}  // namespace mt::api
