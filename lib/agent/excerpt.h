#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mt {

// What of another server's words may stand in a message of ours.

/// `text` with every byte that is no UTF-8 as U+FFFD.
std::string valid_utf8(std::string_view text);

/// At most `longest` bytes of `text` as UTF-8, no character cut in two, and "..." where it goes on. What becomes U+FFFD
/// may make it longer.
std::string excerpt(std::string_view text, std::size_t longest);

/// `text` with "***" for `secret`, and for what is left of it where it was cut: its first 8 bytes or more. Nothing
/// changes when `secret` is empty.
std::string without_secret(std::string text, std::string_view secret);

}  // namespace mt
