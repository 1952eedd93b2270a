#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace mt {

/// Bounds of one tenant's cache.
struct CacheSettings {
    std::int64_t max_entries = 100;               ///< 0: nothing is kept
    std::int64_t max_bytes = 16LL * 1024 * 1024;  ///< keys and values together
    std::chrono::milliseconds ttl = std::chrono::minutes{5};
};

/// Answers of ONE tenant, least recently used dropped first, each for at most its time to live. Owns its entries.
/// An answer past its time is never returned, but counts until it is asked for or dropped. Thread-safe.
class AnswerCache {
  public:
    /// `clock` must outlive the cache.
    AnswerCache(const CacheSettings& settings, const Clock& clock);
    AnswerCache(const AnswerCache&) = delete;
    AnswerCache& operator=(const AnswerCache&) = delete;
    ~AnswerCache();

    /// The value put under `key` if it is still there and fresh; counts as a use.
    std::optional<std::string> get(std::string_view key);

    /// Keeps `value`, replacing an older one, and drops the least recently used entries past a bound. A key and value
    /// together larger than max_bytes are not kept; the older value is gone all the same.
    void put(std::string_view key, std::string value);

    void clear();
    /// Applies new bounds at once, dropping what no longer fits or is past the old or the new time to live.
    void resize(const CacheSettings& settings);

    [[nodiscard]] std::int64_t entries() const;
    [[nodiscard]] std::int64_t bytes() const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt
