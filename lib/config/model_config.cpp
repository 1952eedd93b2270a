#include "config/model_config.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"

namespace mt {
namespace {

bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == ':' || c == '-';
}

}  // namespace

Result<void> check_model_name(std::string_view name) {
    constexpr std::size_t k_longest = 64;
    if (name.empty() || name.size() > k_longest || !std::all_of(name.begin(), name.end(), is_name_char)) {
        return Error{
            Code::invalid,
            fmt::format("{} is no name of a model: use 1 to 64 of a-z, A-Z, 0-9, '.', '_', ':' and '-'", quote(name))};
    }
    if (name == "default") {
        return Error{Code::invalid, "'default' stands for a tenant's default model: give the model another name"};
    }
    return {};
}

}  // namespace mt
