#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/client.h"
#include "http/fd.h"
#include "http/message.h"

namespace mt::test {

using Words = std::vector<std::string>;
using Environment = std::map<std::string, std::string>;

/// What a finished process left behind.
struct Outcome {
    int exit = 0;  ///< exit status, or minus the signal that ended it
    std::string out{};
    std::string err{};
};

/// How a process is started.
struct Launch {
    std::filesystem::path folder;    ///< its working folder, and HOME
    Environment environment{};       ///< besides PATH, TMPDIR and the sanitizers' options
    bool obeys_permissions = false;  ///< file modes bind it even when root starts it
    std::size_t descriptors = 0;     ///< as many may be open (RLIMIT_NOFILE), 0: as in the test's own process
};

/// A child process. Its output is kept in memory; it is killed and reaped, by its own id, at the latest when this
/// object ends or the test's process does. Not thread-safe.
class Process {
  public:
    /// Starts mtagent with these words. Throws std::runtime_error when there can be no process.
    Process(const Launch& launch, const Words& words);
    Process(Process&&) = default;
    Process& operator=(Process&&) = delete;
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process();

    void signal(int number) const;
    /// True once it has ended; waits for that at most so long.
    [[nodiscard]] bool ended(std::chrono::milliseconds patience = {}) const;
    /// Waits for the end. Throws std::runtime_error, with what it said, when it does not end in time.
    Outcome wait(std::chrono::milliseconds patience = std::chrono::seconds{30});
    /// What it has said so far.
    [[nodiscard]] std::string out() const;
    [[nodiscard]] std::string err() const;
    [[nodiscard]] pid_t pid() const { return m_pid; }

  private:
    pid_t m_pid = 0;  // 0: reaped
    http::UniqueFd m_handle;
    http::UniqueFd m_out;
    http::UniqueFd m_err;
};

/// `mtagent serve` on a free port of the loopback. Start and every wait are bounded. Not thread-safe.
class Server {
  public:
    /// Returns when it listens. Throws std::runtime_error, with what it said, when it does not.
    explicit Server(const Launch& launch, const Words& more = {});

    [[nodiscard]] int port() const { return m_port; }
    /// "http://127.0.0.1:PORT" and the path.
    [[nodiscard]] std::string url(std::string_view path = {}) const;
    /// One request over a connection that is kept. Throws std::runtime_error when there is no reply.
    http::Response send(std::string_view method, std::string_view target, const http::Fields& fields = {},
                        std::string_view body = {});
    http::Response get(std::string_view target, const http::Fields& fields = {}) { return send("GET", target, fields); }

    /// Asks it to end, and waits.
    Outcome terminate();
    /// kill -9, and waits.
    Outcome kill();
    [[nodiscard]] Process& process() { return m_process; }

  private:
    int wait_for_port(const std::filesystem::path& file);

    Process m_process;
    int m_port;
    http::Client m_client;
};

/// Asks `holds` again and again. The time it took, or nothing when `bound` is over.
template <class Condition>
std::optional<std::chrono::milliseconds> time_until(Condition holds, std::chrono::milliseconds bound);

/// Lets other processes run between two questions of time_until().
void pause_between_polls();

template <class Condition>
std::optional<std::chrono::milliseconds> time_until(Condition holds, std::chrono::milliseconds bound) {
    const auto start = std::chrono::steady_clock::now();
    const auto past = [start] {
        return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
    };
    while (!holds()) {
        if (past() > bound) {
            return std::nullopt;
        }
        pause_between_polls();
    }
    return past();
}

}  // namespace mt::test
