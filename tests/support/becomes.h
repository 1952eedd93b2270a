#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace mt::test {

/// Polls until it is so; false after `patience`.
inline bool becomes(const std::function<bool()>& so, std::chrono::milliseconds patience = std::chrono::seconds{10}) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!so()) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

}  // namespace mt::test
