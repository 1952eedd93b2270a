#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mt {

/// True when `text` is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
bool is_utf8(std::string_view text);

/// `text` in single quotes, control bytes and non-ASCII as \xNN, cut at 80 characters: safe in a message.
std::string quote(std::string_view text);

/// The candidate with the smallest edit distance to `word`, or "" when none is near enough (a third of its length + 1).
std::string nearest(std::string_view word, std::span<const std::string_view> candidates);

/// " (did you mean 'X'?)" for the nearest candidate, or "".
std::string suggestion(std::string_view word, std::span<const std::string_view> candidates);

/// Splits at every `separator`; blanks around the pieces are removed and empty pieces dropped.
std::vector<std::string> split_list(std::string_view text, char separator = ',');

std::string join(std::span<const std::string> pieces, std::string_view separator);

/// Without blanks, tabs and line ends at both ends.
std::string_view trim(std::string_view text);

/// ASCII lower case.
std::string to_lower(std::string_view text);

}  // namespace mt
