#pragma once

#include <optional>
#include <string_view>

namespace mt::http {

// The small words of RFC 9110 section 5.6 and RFC 3986, shared by the readers and writers of this room.

/// 0..15, or -1 when `c` is no hexadecimal digit.
int hex_digit(char c);

/// A non-empty token (RFC 9110 section 5.6.2): methods, field names.
bool is_token(std::string_view text);

/// Bytes a field value may hold (RFC 9110 section 5.5): blank, tab, visible ASCII, 0x80-0xFF.
bool is_field_value(std::string_view text);

/// Visible ASCII only, not empty (request targets).
bool is_visible(std::string_view text);

/// host [":" port] of RFC 3986 section 3.2, not empty and without user information.
bool is_authority(std::string_view text);

/// ASCII case does not matter.
bool equal_ignoring_case(std::string_view a, std::string_view b);

/// Without blanks and tabs at both ends (OWS).
std::string_view trim_blanks(std::string_view text);

/// True when the comma-separated `list` has `token` (case-insensitive), as in Connection.
bool list_has(std::string_view list, std::string_view token);

/// Name and value of a field line without its line end, or nothing when it is malformed (RFC 9112 section 5).
struct FieldLine {
    std::string_view name;
    std::string_view value;
};
std::optional<FieldLine> split_field(std::string_view line);

}  // namespace mt::http
