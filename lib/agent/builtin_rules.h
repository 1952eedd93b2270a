#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mt {

/// An argument of a planned call. With `refers`, {names} in the text stand for earlier results (arithmetic_words.h):
/// numbers inside an expression, or the text of a result when the reference is all of it.
struct PlannedArgument {
    std::string name;
    std::string text;
    bool refers = false;
};

/// One tool call that a message asks for. `tentative`: only a guess ("what is the X?"); when the tool knows nothing the
/// message is answered as if it had not been called.
struct PlannedCall {
    std::string tool;
    std::vector<PlannedArgument> arguments;
    bool tentative = false;
};

/// What the builtin model makes of a message: calls in their order, none for plain talk.
struct Plan {
    std::vector<PlannedCall> calls;
    bool repeat = false;  ///< asks for what was said before
};

/// Reads a message by fixed English rules; the same message always gives the same plan. Time grows linearly with the
/// length of the message.
Plan make_plan(std::string_view message);

}  // namespace mt
