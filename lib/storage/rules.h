#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "storage/store.h"

namespace mt {

// What every backend decides alike.

/// Errors: invalid (empty, or longer than 128 bytes).
Result<void> check_namespace(std::string_view ns);

/// Checks namespace and key. Errors: invalid (a key is 1 to 512 bytes).
Result<void> check_key(std::string_view ns, std::string_view key);

/// Checks namespace and page size. Errors: invalid (1 to 1000).
Result<void> check_page(std::string_view ns, std::int64_t limit);

/// Checks namespace, key and time to live. Errors: invalid (a time to live is positive).
Result<void> check_put(std::string_view ns, std::string_view key, const PutOptions& options);

/// What an entry counts for.
std::int64_t entry_bytes(std::string_view ns, std::string_view key, std::string_view value);

/// Milliseconds since 1970 from which on the entry is not seen, or nothing when it is kept for ever.
std::optional<std::int64_t> expiry_ms(const PutOptions& options, WallTime now);

/// The entry that a put replaces.
struct Replaced {
    std::int64_t version = 0;
    std::int64_t bytes = 0;
};

/// Version of a put over `old`. Errors: conflict.
Result<std::int64_t> next_version(const std::optional<Replaced>& old, const PutOptions& options);

/// Allows an entry of `new_bytes` over `old` where `used` bytes are stored of `max_bytes`; one no larger than what it
/// replaces always. Errors: storage_full.
Result<void> check_quota(const std::optional<Replaced>& old, std::int64_t new_bytes, std::int64_t used,
                         std::int64_t max_bytes);

/// Keys in byte order from `first` on, before `end`.
struct KeyRange {
    std::string first;
    std::string end;
};

/// The keys that start with `prefix` and come after `cursor` (empty: from the start).
KeyRange range_of(std::string_view prefix, std::string_view cursor);

/// Bytes of a page of list_back after which no more entries come, by entry_bytes.
constexpr std::int64_t k_back_page_bytes = 1'048'576;

/// Where the keys before `before` end: there, or above every key when it is empty.
std::string end_before(std::string_view before);

/// A page of list_back while it grows.
class BackPage {
  public:
    explicit BackPage(std::int64_t limit) : m_limit(limit) {}

    /// False when it is full: then the cursor says that there is more.
    bool add(Entry entry, std::int64_t bytes);
    [[nodiscard]] Page take() { return std::move(m_page); }

  private:
    std::int64_t m_limit;
    std::int64_t m_bytes = 0;
    Page m_page{};
};

}  // namespace mt
