#include "postgres/statement_name.h"

#include <fmt/core.h>

#include <cstdint>

namespace mt::postgres {
namespace {

// http://www.isthe.com/chongo/tech/comp/fnv/
std::uint64_t fnv1a(std::string_view text, std::uint64_t hash) {
    constexpr std::uint64_t k_prime = 0x100000001b3;
    for (const char byte : text) {
        hash = (hash ^ static_cast<unsigned char>(byte)) * k_prime;
    }
    return hash;
}

}  // namespace

std::string statement_key(std::string_view sql, const Parameters& parameters) {
    std::string key;
    for (const Parameters::Value& value : parameters.values()) {
        key += fmt::format("{},", value.type);
    }
    return key += sql;
}

std::string statement_name(std::string_view key) {
    constexpr std::uint64_t k_basis = 0xcbf29ce484222325;
    constexpr std::uint64_t k_other_basis = 0x9e3779b97f4a7c15;
    return fmt::format("mtagent_{:016x}{:016x}", fnv1a(key, k_basis), fnv1a(key, k_other_basis));
}

}  // namespace mt::postgres
