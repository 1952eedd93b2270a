#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "redis/address.h"
#include "redis/protocol.h"
#include "redis/socket.h"

namespace mt::redis {

/// One connection: greeted, logged in, in a database. Errors of it are unavailable, and their message is the fault for
/// the operator: it holds no secret. After an error it is of no more use. Not thread-safe.
class Connection {
  public:
    struct Options {
        const Address& address;
        bool primary = false;  ///< refuse a server that says it is a replica
    };
    /// Connects, logs in, selects the address's database and asks for a PONG.
    static Result<std::unique_ptr<Connection>> open(const Options& options, const Deadline& deadline);

    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() = default;

    /// While nothing is awaited: the server has closed it, or has spoken unasked.
    [[nodiscard]] bool is_closed() const;
    [[nodiscard]] int database() const { return m_database; }

    /// False: there is no such database.
    Result<bool> select(int database, const Deadline& deadline);
    Result<void> send(std::string_view bytes, const Deadline& deadline);
    Result<std::vector<Answer>> receive(std::size_t count, const Deadline& deadline);

    /// Bytes that can be sent now.
    Result<std::size_t> send_some(std::string_view bytes) { return m_socket.send_some(bytes); }
    /// Answers that are there now, added to `answers`.
    Result<void> receive_some(std::vector<Answer>& answers);
    [[nodiscard]] int fd() const { return m_socket.fd(); }

  private:
    explicit Connection(Socket socket);
    Result<void> greet(const Options& options, const Deadline& deadline);

    Socket m_socket;
    Parser m_parser;
    std::vector<char> m_room;
    int m_database = 0;
};

}  // namespace mt::redis
