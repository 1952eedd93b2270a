#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace mt {

/// Bytes of a character that one piece of a text has begun and the next one will end.
class CutCharacter {
  public:
    [[nodiscard]] bool empty() const { return m_size == 0; }
    [[nodiscard]] std::string_view bytes() const { return {m_bytes.data(), m_size}; }
    void keep(std::string_view bytes);  ///< at most 3
    void clear() { m_size = 0; }

  private:
    std::array<char, 3> m_bytes{};
    std::size_t m_size = 0;
};

/// Appends `text` as the inside of a JSON string (RFC 8259 section 7), without its quotes. What is no UTF-8 becomes
/// U+FFFD.
void append_json_text(std::string& out, std::string_view text);

/// The same for the next piece of a longer text: a character that the piece cuts is kept in `cut` until its rest comes.
void append_json_text(std::string& out, std::string_view piece, CutCharacter& cut);

/// `text` as a JSON string, quotes included.
std::string json_string(std::string_view text);

}  // namespace mt
