#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/agent.h"

namespace mt {

/// An answer as it lies in a cache: texts with their lengths before them. Only of answers with `cacheable`.
std::string encode_answer(const Answer& answer);

/// Nothing for what encode_answer has not written.
std::optional<Answer> decode_answer(std::string_view kept);

}  // namespace mt
