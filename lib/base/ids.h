#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mt {

using Sha256 = std::array<std::uint8_t, 32>;

/// Checks a tenant id: [a-z0-9][a-z0-9_-]{0,47} and no reserved first path segment.
/// Errors: invalid, with a message that names the fault.
Result<void> check_tenant_id(std::string_view id);

/// True for first path segments that can never be tenants (v1, stats, admin, ...).
bool is_reserved_segment(std::string_view segment);

/// `count` bytes from the kernel's generator (OpenSSL's RAND_bytes). Aborts when there is no entropy.
void random_bytes(std::span<std::uint8_t> out);

/// Lower-case hexadecimal of random bytes; `bytes` of entropy, twice as many characters.
std::string random_hex(std::size_t bytes);

/// 32 hexadecimal digits that name a request: as random as random_hex(16), but drawn from a stock that each thread
/// keeps in memory, because a call of the generator per request would show in every reply. Not for secrets.
/// Thread-safe.
std::string make_request_id();

/// RFC 4648 base32 in lower case (a-z2-7) of random bits, `length` characters of 5 bits each.
std::string random_base32(std::size_t length);

std::string to_hex(std::span<const std::uint8_t> bytes);

/// Reads 64 hexadecimal digits. Errors: invalid.
Result<Sha256> parse_sha256(std::string_view hex);

/// SHA-256 (FIPS 180-4) of the bytes of `text`.
Sha256 sha256(std::string_view text);

/// Compares in a time that depends on the lengths alone.
bool equal_in_constant_time(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace mt
