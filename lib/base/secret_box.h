#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mt {

/// Keeps texts secret at rest: AES-256 in Galois/Counter Mode (NIST SP 800-38D) with a 96-bit nonce drawn at random for
/// each text (section 8.2.2, which allows 2^32 texts per key). A sealed text is a version byte (1), the nonce, the
/// ciphertext and the 128-bit tag; the version is authenticated, too. Immutable, thread-safe; the key is wiped from
/// memory at the end.
class SecretBox {
  public:
    static constexpr std::size_t k_key_size = 32;
    using Key = std::array<std::uint8_t, k_key_size>;

    explicit SecretBox(const Key& key) : m_key(key) {}
    SecretBox(const SecretBox&) = default;
    SecretBox& operator=(const SecretBox&) = default;
    ~SecretBox();

    /// Reads a key: 32 bytes as they are, or 64 hexadecimal digits with a line end. Errors: config (no such file, not
    /// readable, others may read it, its group may change it, no key).
    static Result<SecretBox> from_key_file(const std::filesystem::path& path);

    /// `associated_data` is not kept, but needed again to open: it says where the text belongs, so that a sealed text
    /// cannot be moved elsewhere.
    [[nodiscard]] std::string seal(std::string_view plain, std::string_view associated_data) const;

    /// Errors: failed (another key, other associated data, damaged); the message tells nothing of key and text.
    [[nodiscard]] Result<std::string> open(std::string_view sealed, std::string_view associated_data) const;

  private:
    Key m_key;
};

}  // namespace mt
