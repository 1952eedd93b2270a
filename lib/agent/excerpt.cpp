#include "agent/excerpt.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace mt {

std::string valid_utf8(std::string_view text) {
    if (is_utf8(text)) {
        return std::string(text);
    }
    using Json = nlohmann::json;
    return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

std::string excerpt(std::string_view text, std::size_t longest) {
    constexpr unsigned k_kind = 0xC0;
    constexpr unsigned k_continuation = 0x80;
    if (text.size() <= longest) {
        return valid_utf8(text);
    }
    std::size_t end = longest;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & k_kind) == k_continuation) {
        --end;
    }
    return valid_utf8(text.substr(0, end)) + "...";
}

std::string without_secret(std::string text, std::string_view secret) {
    constexpr std::size_t k_telling = 8;
    constexpr std::string_view k_mask = "***";
    const std::string_view start = secret.substr(0, k_telling);
    for (std::size_t at = 0; !start.empty() && (at = text.find(start, at)) != std::string::npos; at += k_mask.size()) {
        const std::string_view rest = std::string_view(text).substr(at, secret.size());
        const auto differs = std::mismatch(rest.begin(), rest.end(), secret.begin()).first;
        text.replace(at, static_cast<std::size_t>(differs - rest.begin()), k_mask);
    }
    return text;
}

}  // namespace mt
