#pragma once

#include <memory>
#include <string>
#include <vector>

namespace mt::test {

/// A redis-server of a test's own: on loopback, in a temporary folder, ended with the object. Ends the test with a
/// message when it does not start. Not thread-safe.
class PrivateRedis {
  public:
    /// `settings`: more lines of redis.conf, such as "maxmemory 10mb". Without any, nothing is written to disk.
    explicit PrivateRedis(const std::vector<std::string>& settings = {});
    PrivateRedis(const PrivateRedis&) = delete;
    PrivateRedis& operator=(const PrivateRedis&) = delete;
    ~PrivateRedis();

    [[nodiscard]] int port() const;
    /// "redis://127.0.0.1:PORT"
    [[nodiscard]] std::string url() const;
    /// What redis-cli prints for a command, without the last line end.
    [[nodiscard]] std::string ask(const std::vector<std::string>& command) const;

    void kill();    ///< SIGKILL; the port refuses from then on
    void start();   ///< after kill(), on the same port
    void freeze();  ///< SIGSTOP: connections stay, nobody answers
    void thaw();

    /// False where redis-server is not installed: say SKIPPED.
    static bool is_installed();

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt::test
