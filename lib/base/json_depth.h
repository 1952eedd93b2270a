#pragma once

#include <string_view>

namespace mt {

/// True when arrays and objects of a JSON text lie in each other more than `levels` deep. Libraries write, compare and
/// check JSON by recursion: texts of strangers are looked at before. Reads the text once, whether it is JSON or not.
bool is_nested_deeper(std::string_view json, int levels = 100);

}  // namespace mt
