#pragma once

#include <memory>
#include <string>
#include <vector>

namespace mt::test {

/// A PostgreSQL of a test's own: on loopback, in a temporary folder, under a user that may run it, without fsync, ended
/// with the object. The folder is made by initdb once per process and copied. Ends the test with a message when it does
/// not start. Not thread-safe.
class PrivatePostgres {
  public:
    /// `settings`: more lines of postgresql.conf, such as "max_connections = 10".
    explicit PrivatePostgres(const std::vector<std::string>& settings = {});
    PrivatePostgres(const PrivatePostgres&) = delete;
    PrivatePostgres& operator=(const PrivatePostgres&) = delete;
    ~PrivatePostgres();

    [[nodiscard]] int port() const;
    /// "postgres://mtagent@127.0.0.1:PORT/mtagent": its owner, no superuser, without a password.
    [[nodiscard]] std::string url() const;
    /// What psql prints for a statement run by a superuser, unaligned, tuples only, without the last line end.
    [[nodiscard]] std::string ask(const std::string& sql) const;

    void kill();    ///< SIGKILL to the postmaster and its children; the port refuses from then on
    void start();   ///< after kill(), on the same port
    void freeze();  ///< SIGSTOP to all its processes: connections stay, nobody answers
    void thaw();

    /// False where PostgreSQL is not installed: say SKIPPED.
    static bool is_installed();

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt::test
