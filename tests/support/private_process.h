#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace mt::test {

/// How somebody else's program is started.
struct PrivateLaunch {
    std::vector<std::string> words;  ///< the first one is its path, or its name in PATH
    std::filesystem::path folder;    ///< its working folder
    std::filesystem::path log;       ///< what it prints; empty: nowhere
    std::string user{};              ///< empty: ours
};

/// Somebody else's server as a child: ended by its own id with this object, and when the test's process ends. Not
/// thread-safe. Throws std::runtime_error when there can be no process.
class PrivateProcess {
  public:
    explicit PrivateProcess(const PrivateLaunch& launch);
    PrivateProcess(const PrivateProcess&) = delete;
    PrivateProcess& operator=(const PrivateProcess&) = delete;
    ~PrivateProcess();  ///< SIGKILL to the process group it leads, and waits

    void signal(int number) const;        ///< to the process alone
    void signal_group(int number) const;  ///< to it and its children
    [[nodiscard]] bool ended() const;     ///< does not wait
    /// Waits for its end; its exit status, or minus the signal; throws after `patience`.
    int wait(std::chrono::milliseconds patience);
    [[nodiscard]] pid_t pid() const { return m_pid; }

  private:
    pid_t m_pid = 0;
    bool m_reaped = false;
};

/// Runs a program to its end and returns what it printed on both streams, and its exit status. Throws after `patience`.
struct PrivateOutcome {
    int exit = 0;
    std::string out;
};
PrivateOutcome run_private(const PrivateLaunch& launch, std::chrono::milliseconds patience = std::chrono::seconds{60});

/// A port of the loopback that is free now.
int free_port();

/// The path of a program in PATH, or empty.
std::filesystem::path find_program(const std::string& name);

}  // namespace mt::test
