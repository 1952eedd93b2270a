#include "storage/rules.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "base/units.h"

namespace mt {
namespace {

constexpr std::size_t k_longest_namespace = 128;
constexpr std::size_t k_longest_key = 512;
constexpr std::int64_t k_largest_page = 1000;

}  // namespace

Result<void> check_namespace(std::string_view ns) {
    if (ns.empty() || ns.size() > k_longest_namespace) {
        return Error{Code::invalid,
                     fmt::format("a namespace of {} bytes: use 1 to {}", ns.size(), k_longest_namespace)};
    }
    return {};
}

Result<void> check_key(std::string_view ns, std::string_view key) {
    if (key.empty() || key.size() > k_longest_key) {
        return Error{Code::invalid, fmt::format("a key of {} bytes: use 1 to {}", key.size(), k_longest_key)};
    }
    return check_namespace(ns);
}

Result<void> check_page(std::string_view ns, std::int64_t limit) {
    if (limit < 1 || limit > k_largest_page) {
        return Error{Code::invalid, fmt::format("a page of {} entries: use 1 to {}", limit, k_largest_page)};
    }
    return check_namespace(ns);
}

Result<void> check_put(std::string_view ns, std::string_view key, const PutOptions& options) {
    if (options.ttl && options.ttl->count() <= 0) {
        return Error{Code::invalid, fmt::format("a time to live of {} ms: use at least 1", options.ttl->count())};
    }
    return check_key(ns, key);
}

std::int64_t entry_bytes(std::string_view ns, std::string_view key, std::string_view value) {
    return static_cast<std::int64_t>(ns.size() + key.size() + value.size());
}

std::optional<std::int64_t> expiry_ms(const PutOptions& options, WallTime now) {
    if (!options.ttl) {
        return std::nullopt;
    }
    const std::int64_t start = now.time_since_epoch().count();
    const std::int64_t longest = std::numeric_limits<std::int64_t>::max() - start;
    return start + std::min<std::int64_t>(options.ttl->count(), longest);
}

Result<std::int64_t> next_version(const std::optional<Replaced>& old, const PutOptions& options) {
    const std::int64_t current = old ? old->version : 0;
    if (options.if_version && *options.if_version != current) {
        return Error{Code::conflict, old ? fmt::format("the entry has version {}, not {}", current, *options.if_version)
                                         : fmt::format("there is no entry of version {}", *options.if_version)};
    }
    return current + 1;
}

Result<void> check_quota(const std::optional<Replaced>& old, std::int64_t new_bytes, std::int64_t used,
                         std::int64_t max_bytes) {
    const std::int64_t old_bytes = old ? old->bytes : 0;
    if (new_bytes > old_bytes && used - old_bytes + new_bytes > max_bytes) {
        return Error{Code::storage_full,
                     fmt::format("{} more do not fit: {} of {} are used", format_size(new_bytes - old_bytes),
                                 format_size(used), format_size(max_bytes))};
    }
    return {};
}

std::string end_before(std::string_view before) {
    return before.empty() ? std::string(k_longest_key + 1, '\xff') : std::string(before);
}

bool BackPage::add(Entry entry, std::int64_t bytes) {
    if (std::ssize(m_page.entries) == m_limit || m_bytes >= k_back_page_bytes) {
        m_page.cursor = m_page.entries.back().key;
        return false;
    }
    m_bytes += bytes;
    m_page.entries.push_back(std::move(entry));
    return true;
}

KeyRange range_of(std::string_view prefix, std::string_view cursor) {
    KeyRange range{std::string(prefix), std::string(prefix)};
    if (!cursor.empty()) {
        const std::string after = std::string(cursor) + '\0';  // the smallest key above the cursor
        range.first = std::max(range.first, after);
    }
    while (!range.end.empty() && range.end.back() == '\xff') {
        range.end.pop_back();
    }
    if (range.end.empty()) {
        range.end = end_before("");
    } else {
        range.end.back() = static_cast<char>(static_cast<unsigned char>(range.end.back()) + 1U);
    }
    return range;
}

}  // namespace mt
