#pragma once

#include <chrono>
#include <csignal>

namespace mt::app {

/// The signals that end or reload the service: SIGTERM, SIGINT and SIGHUP, blocked from the construction on in this
/// thread and in those that it starts, and taken here. SIGPIPE is ignored. One per process, used by its first thread.
class Signals {
  public:
    Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;
    ~Signals() = default;

    /// Waits for the next one and returns its number.
    [[nodiscard]] int wait() const;

    /// From now on SIGTERM and SIGINT do what they do by default: they end the process at once.
    void let_end() const;

    /// Waits for so long. SIGHUPs are taken and forgotten.
    void pause(std::chrono::milliseconds duration) const;

  private:
    sigset_t m_ending{};
    sigset_t m_all{};
};

}  // namespace mt::app
