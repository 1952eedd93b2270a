#include "agent/openai_refusal.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>

#include "base/text.h"

namespace mt {

std::string only_word(std::string_view text) {
    constexpr std::size_t k_longest = 64;
    const bool is_word = text.size() <= k_longest && std::all_of(text.begin(), text.end(), [](char c) {
                             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                    c == '_' || c == '-' || c == '.' || c == ':' || c == '/';
                         });
    return is_word ? std::string(text) : std::string{};
}

Error refusal_of(const std::string& model, int status, const ServerFault& fault,
                 std::optional<std::chrono::nanoseconds> wait) {
    const std::string name = quote(model);
    if (status == 400 || status == 413 || status == 422) {
        const std::string words =
            fault.message.empty() ? fmt::format("model {} refused the request", name) : fault.message;
        return Error{Code::invalid, words, only_word(fault.code), {}, fault.param};
    }
    if (status == 401 || status == 403) {  // its words may hold a part of the key
        return Error{Code::upstream, fmt::format("the server of model {} does not take our key", name)};
    }
    return Error{Code::upstream,
                 fmt::format("the server of model {} answered with status {}", name, status),
                 {},
                 wait,
                 {},
                 only_word(fault.type.empty() ? fault.code : fault.type)};
}

}  // namespace mt
