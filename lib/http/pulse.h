#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>

namespace mt::http {

/// Lets a watcher look every few milliseconds while there is work, and sleep without any wake-up while there is none.
/// beat() is for those who work, the rest for the one watcher.
class Pulse {
  public:
    /// Work is about to be done.
    void beat() {
        m_beats.fetch_add(1);
        if (m_asleep.load()) {
            const std::lock_guard lock(m_mutex);
            m_asleep.store(false);
            m_changed.notify_one();
        }
    }

    [[nodiscard]] std::uint64_t beats() const { return m_beats.load(); }

    /// Waits for `time`. False: stop was requested.
    bool rest(const std::stop_token& stop, std::chrono::milliseconds time) {
        std::unique_lock lock(m_mutex);
        m_changed.wait_for(lock, stop, time, [] { return false; });
        return !stop.stop_requested();
    }

    /// Waits for a beat after the `seen`th. False: stop was requested.
    bool sleep(const std::stop_token& stop, std::uint64_t seen) {
        std::unique_lock lock(m_mutex);
        m_asleep.store(true);
        m_changed.wait(lock, stop, [&] { return m_beats.load() != seen; });
        m_asleep.store(false);
        return !stop.stop_requested();
    }

  private:
    std::atomic<std::uint64_t> m_beats{0};
    std::atomic<bool> m_asleep{false};
    std::mutex m_mutex{};
    std::condition_variable_any m_changed{};
};

}  // namespace mt::http
