#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "redis/address.h"
#include "support/becomes.h"
#include "support/needs.h"

namespace mt::test {

/// For a case against a Redis of its own.
struct RedisBed {
    explicit RedisBed(const std::vector<std::string>& settings = {}) : server(settings) {}

    [[nodiscard]] redis::Address address() const { return *redis::parse_address(server.url()); }

    PrivateRedis server;
    SystemClock clock;
    Log log{LogLevel::off};
};

inline std::chrono::milliseconds time_of(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
}

template <class T>
std::optional<Code> code_of(const Result<T>& result) {
    return result ? std::nullopt : std::optional(result.error().code);
}

/// The Redis is away: unavailable, with a time to wait, and no word of it for clients.
template <class T>
bool is_away(const Result<T>& result) {
    return code_of(result) == Code::unavailable && result.error().retry_after.has_value() &&
           result.error().message.find("127.0.0.1") == std::string::npos;
}

}  // namespace mt::test
