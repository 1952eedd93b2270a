#include "base/json_depth.h"

#include <cstddef>

namespace mt {

bool is_nested_deeper(std::string_view json, int levels) {
    int depth = 0;
    bool in_text = false;
    for (std::size_t at = 0; at < json.size(); ++at) {
        const char c = json[at];
        if (in_text) {
            at += c == '\\' ? 1 : 0;
            in_text = c != '"';
        } else if (c == '"') {
            in_text = true;
        } else if ((c == '[' || c == '{') && ++depth > levels) {
            return true;
        } else if (c == ']' || c == '}') {
            --depth;
        }
    }
    return false;
}

}  // namespace mt
