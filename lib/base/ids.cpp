#include "base/ids.h"

#include <fmt/core.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/text.h"

namespace mt {
namespace {

constexpr std::size_t k_longest_tenant_id = 48;

// First path segments of present and planned routes: a tenant of that name could never be reached.
constexpr std::array<std::string_view, 28> k_reserved{
    "v1",      "stats",   "metrics", "health", "livez", "readyz", "admin",  "dashboard", "a2a",    "mcp",
    "tenants", "tenant",  "healthz", "api",    "auth",  "login",  "logout", "static",    "assets", "docs",
    "status",  "version", "favicon", "robots", "debug", "web",    "keys",   "sessions"};

bool is_id_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

Result<void> check_tenant_id(std::string_view id) {
    constexpr std::string_view k_rule = "use 1 to 48 of a-z, 0-9, '_' and '-', starting with a letter or digit";
    if (id.empty()) {
        return Error{Code::invalid, fmt::format("a tenant id is empty: {}", k_rule)};
    }
    if (id.size() > k_longest_tenant_id) {
        return Error{Code::invalid, fmt::format("a tenant id has {} characters: {}", id.size(), k_rule)};
    }
    const bool valid = std::all_of(id.begin(), id.end(), is_id_char) && id[0] != '_' && id[0] != '-';
    if (!valid) {
        return Error{Code::invalid, fmt::format("{} is no tenant id: {}", quote(id), k_rule)};
    }
    if (is_reserved_segment(id)) {
        return Error{Code::invalid, fmt::format("tenant id '{}' is a reserved word", id)};
    }
    return {};
}

bool is_reserved_segment(std::string_view segment) {
    return std::find(k_reserved.begin(), k_reserved.end(), segment) != k_reserved.end();
}

void random_bytes(std::span<std::uint8_t> out) {
    if (RAND_bytes(out.data(), static_cast<int>(out.size())) != 1) {
        std::abort();  // keys made without entropy would be worse than no service
    }
}

std::string random_hex(std::size_t bytes) {
    std::vector<std::uint8_t> buffer(bytes);
    random_bytes(buffer);
    return to_hex(buffer);
}

std::string make_request_id() {
    constexpr std::size_t k_size = 16;
    struct Stock {
        std::array<std::uint8_t, 256 * k_size> bytes{};
        std::size_t next = bytes.size();
    };
    static thread_local Stock t_stock;
    if (t_stock.next == t_stock.bytes.size()) {
        random_bytes(t_stock.bytes);
        t_stock.next = 0;
    }
    const std::span<const std::uint8_t> id(&t_stock.bytes[t_stock.next], k_size);
    t_stock.next += k_size;
    return to_hex(id);
}

std::string random_base32(std::size_t length) {
    constexpr std::string_view k_alphabet = "abcdefghijklmnopqrstuvwxyz234567";
    std::vector<std::uint8_t> buffer(length);
    random_bytes(buffer);
    std::string text(length, '\0');
    std::transform(buffer.begin(), buffer.end(), text.begin(), [&](std::uint8_t b) { return k_alphabet[b & 31U]; });
    return text;
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
    constexpr std::string_view k_digits = "0123456789abcdef";
    std::string text;
    text.reserve(bytes.size() * 2);
    for (const std::uint8_t byte : bytes) {
        text += k_digits[byte >> 4U];
        text += k_digits[byte & 15U];
    }
    return text;
}

Result<Sha256> parse_sha256(std::string_view hex) {
    Sha256 hash{};
    bool valid = hex.size() == hash.size() * 2;
    for (std::size_t i = 0; valid && i < hash.size(); ++i) {
        const int high = hex_digit(hex[2 * i]);
        const int low = hex_digit(hex[2 * i + 1]);
        valid = high >= 0 && low >= 0;
        hash[i] = static_cast<std::uint8_t>(high * 16 + low);
    }
    if (!valid) {
        return Error{Code::invalid, "a SHA-256 is written as 64 hexadecimal digits"};
    }
    return hash;
}

Sha256 sha256(std::string_view text) {
    // Looking the algorithm up and making a context take longer than hashing a key does.
    static const std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> k_algorithm(EVP_MD_fetch(nullptr, "SHA256", nullptr),
                                                                             EVP_MD_free);
    static thread_local const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> k_context(EVP_MD_CTX_new(),
                                                                                                EVP_MD_CTX_free);
    Sha256 hash{};
    if (EVP_DigestInit_ex2(k_context.get(), k_algorithm.get(), nullptr) != 1 ||
        EVP_DigestUpdate(k_context.get(), text.data(), text.size()) != 1 ||
        EVP_DigestFinal_ex(k_context.get(), hash.data(), nullptr) != 1) {
        std::abort();  // no memory, or no SHA-256: no key could be told from another
    }
    return hash;
}

bool equal_in_constant_time(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
    return equal_in_constant_time(sha256(a), sha256(b));
}

}  // namespace mt
