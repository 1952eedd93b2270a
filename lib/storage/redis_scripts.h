#pragma once

#include <string>

#include "redis/reply.h"

namespace mt {

/// What redis_store.cpp runs inside of Redis, one script for each operation, so that each is atomic. How a tenant's
/// entries lie there stands in redis_scripts.cpp. Immutable.
///
/// Keys of all of them: usage, expiry, then the order and the values of one namespace where there is one.
class RedisScripts {
  public:
    static const RedisScripts& all();

    /// prefix, now, namespace, key, value, expiry or "", wanted version or "", max_bytes ->
    /// {0, version} | {1, version of what is there or 0} (conflict) | {2, bytes of what is there or 0, bytes used}
    /// (full)
    const redis::Script& put() const { return m_put; }
    /// prefix, now, namespace, key -> 1 when there was something to erase
    const redis::Script& erase() const { return m_erase; }
    /// prefix, now, namespace -> nothing
    const redis::Script& clear() const { return m_clear; }
    /// prefix, now -> bytes used
    const redis::Script& used() const { return m_used; }
    /// prefix, now, first and last bound of ZRANGEBYLEX, entries at most -> {the last key looked at or "" at the end,
    /// key, value as stored, ...}
    const redis::Script& list() const { return m_list; }
    /// prefix, now, namespace, first bound of ZREVRANGEBYLEX, entries at most, bytes after which no more come -> as
    /// list
    const redis::Script& list_back() const { return m_list_back; }

  private:
    RedisScripts();

    std::string m_put_source;
    std::string m_erase_source;
    std::string m_clear_source;
    std::string m_used_source;
    redis::Script m_put;
    redis::Script m_erase;
    redis::Script m_clear;
    redis::Script m_used;
    redis::Script m_list;
    redis::Script m_list_back;
};

}  // namespace mt
