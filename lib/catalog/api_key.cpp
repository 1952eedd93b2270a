#include "catalog/api_key.h"

#include <algorithm>

#include "base/text.h"

namespace mt {
namespace {

constexpr std::string_view k_prefix = "mta_";
constexpr std::size_t k_id_length = 12;
constexpr std::size_t k_secret_length = 64;
constexpr std::size_t k_longest_name = 200;
constexpr std::size_t k_length = 4 + k_id_length + 1 + k_secret_length;

bool is_base32(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
}

bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

}  // namespace

bool KeyRecord::is_live(WallTime now) const {
    return (!revoked || *revoked > now) && (!expires || *expires > now);
}

Result<void> check_key_request(const KeyRequest& request) {
    const bool one_line = std::none_of(request.name.begin(), request.name.end(),
                                       [](char c) { return static_cast<unsigned char>(c) < 0x20U || c == 0x7F; });
    if (request.name.size() > k_longest_name || !one_line || !is_utf8(request.name)) {
        return Error{Code::invalid, "a key's name is one line of text, at most 200 bytes"};
    }
    if (request.expires_in && request.expires_in->count() <= 0) {
        return Error{Code::invalid, "a key that expires at once opens nothing: give it a time, such as 90d"};
    }
    return {};
}

NewKey generate_key() {
    NewKey key;
    key.record.key_id = random_base32(k_id_length);
    key.text = std::string(k_prefix) + key.record.key_id + "_" + random_hex(k_secret_length / 2);
    key.record.hash = sha256(key.text);
    return key;
}

std::optional<std::string_view> key_id_of(std::string_view text) {
    if (text.size() != k_length || text.substr(0, k_prefix.size()) != k_prefix) {
        return std::nullopt;
    }
    const std::string_view id = text.substr(k_prefix.size(), k_id_length);
    const std::string_view secret = text.substr(k_length - k_secret_length);
    const bool shaped = std::all_of(id.begin(), id.end(), is_base32) &&
                        std::all_of(secret.begin(), secret.end(), is_hex) && text[k_prefix.size() + k_id_length] == '_';
    return shaped ? std::optional(id) : std::nullopt;
}

bool matches(const KeyRecord& record, std::string_view text) {
    return equal_in_constant_time(record.hash, sha256(text));
}

}  // namespace mt
