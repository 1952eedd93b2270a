#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/openai_reply.h"
#include "base/error.h"

namespace mt {

/// What a status other than 200 of a model's server is to those who asked: invalid with the server's words, `param`
/// and code where the request is at fault (400, 413, 422), else upstream. `model`: its name in our configuration.
/// `wait`: what the server asks for.
Error refusal_of(const std::string& model, int status, const ServerFault& fault,
                 std::optional<std::chrono::nanoseconds> wait);

}  // namespace mt
