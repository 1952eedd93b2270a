#include "redis/reply.h"

#include <openssl/evp.h>

#include <array>
#include <cstdint>

#include "base/ids.h"

namespace mt::redis {

Script::Script(std::string_view source) : m_source(source) {
    std::array<std::uint8_t, 20> digest{};
    unsigned int size = digest.size();
    EVP_Digest(source.data(), source.size(), digest.data(), &size, EVP_sha1(), nullptr);
    m_sha1 = to_hex(digest);
}

}  // namespace mt::redis
