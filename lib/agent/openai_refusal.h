#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "agent/openai_reply.h"
#include "base/error.h"

namespace mt {

/// What a status other than 200 of a model's server is to those who asked: invalid with the server's words, `param`
/// and code where the request is at fault (400, 413, 422), else upstream. `model`: its name in our configuration.
/// `wait`: what the server asks for.
Error refusal_of(const std::string& model, int status, const ServerFault& fault,
                 std::optional<std::chrono::nanoseconds> wait);

/// `text` where it is one word of at most 64 bytes, as codes, types and models' names are, else "". Another server's
/// words that are none may be anything, the question included, and go into no log and no span.
std::string only_word(std::string_view text);

}  // namespace mt
