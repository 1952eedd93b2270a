#include "redis/connection.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace mt::redis {
namespace {

constexpr std::size_t k_room = std::size_t{64} * 1024;

Error fault(std::string what) {
    return Error{Code::unavailable, std::move(what)};
}

Error refusal(std::string_view command, std::string_view error) {
    return fault(fmt::format("the server answers {} with {}", command, word_of(error)));
}

Result<void> check_step(const std::string& command, const Answer& answer) {
    if (command == "ROLE") {  // a server that does not tell its role may be a primary
        const std::vector<Reply>& words = answer.reply.list;
        const bool replica = !answer.error && !words.empty() && words.front().text == "slave";
        return replica ? Result<void>(fault("the server is a replica that refuses writes: READONLY")) : Result<void>();
    }
    return answer.error ? Result<void>(refusal(command, *answer.error)) : Result<void>();
}

}  // namespace

Result<std::unique_ptr<Connection>> Connection::open(const Options& options, const Deadline& deadline) {
    Result<Socket> socket = Socket::connect(options.address, deadline);
    if (!socket) {
        return std::move(socket).error();
    }
    std::unique_ptr<Connection> connection(new Connection(std::move(*socket)));
    if (Result<void> greeted = connection->greet(options, deadline); !greeted) {
        return fault(fmt::format("{}: {}", options.address.to_string(), greeted.error().message));
    }
    return connection;
}

Connection::Connection(Socket socket) : m_socket(std::move(socket)), m_room(k_room) {}

bool Connection::is_closed() const {
    char byte = 0;
    return recv(m_socket.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR);
}

Result<bool> Connection::select(int database, const Deadline& deadline) {
    if (database == m_database) {
        return true;
    }
    std::string bytes;
    encode(bytes, Command{"SELECT", std::to_string(database)});
    if (Result<void> sent = send(bytes, deadline); !sent) {
        return std::move(sent).error();
    }
    Result<std::vector<Answer>> answers = receive(1, deadline);
    if (!answers) {
        return std::move(answers).error();
    }
    const std::optional<std::string>& error = answers->front().error;
    if (!error) {
        m_database = database;
        return true;
    }
    return meaning_of(*error) == Meaning::refused ? Result<bool>(false) : refusal("SELECT", *error);
}

Result<void> Connection::send(std::string_view bytes, const Deadline& deadline) {
    while (!bytes.empty()) {
        Result<std::size_t> sent = m_socket.send_some(bytes);
        if (!sent) {
            return std::move(sent).error();
        }
        bytes.remove_prefix(*sent);
        if (Result<void> ready = bytes.empty() ? Result<void>() : m_socket.wait(POLLOUT, deadline); !ready) {
            return ready;
        }
    }
    return {};
}

Result<std::vector<Answer>> Connection::receive(std::size_t count, const Deadline& deadline) {
    std::vector<Answer> answers;
    answers.reserve(count);
    while (true) {
        if (Result<void> ready = m_socket.wait(POLLIN, deadline); !ready) {
            return std::move(ready).error();
        }
        if (Result<void> read = receive_some(answers); !read) {
            return std::move(read).error();
        }
        if (answers.size() == count) {
            return answers;
        }
        if (answers.size() > count) {
            return fault("the server answers unasked");
        }
    }
}

Result<void> Connection::receive_some(std::vector<Answer>& answers) {
    const std::size_t known = answers.size();
    while (true) {
        Result<std::size_t> got = m_socket.receive_some(m_room);
        if (!got && answers.size() > known) {
            return {};  // the next call tells
        }
        if (!got) {
            return std::move(got).error();
        }
        m_parser.feed({m_room.data(), *got});
        while (std::optional<Answer> answer = m_parser.next()) {
            answers.push_back(std::move(*answer));
        }
        if (m_parser.is_broken()) {
            return fault("the server does not speak Redis's protocol");
        }
        if (*got < m_room.size()) {
            return {};
        }
    }
}

Result<void> Connection::greet(const Options& options, const Deadline& deadline) {
    const Address& address = options.address;
    std::vector<Command> steps;
    if (!address.user.empty()) {
        steps.push_back({"AUTH", address.user, address.password});
    } else if (!address.password.empty()) {
        steps.push_back({"AUTH", address.password});
    }
    if (address.database != 0) {
        steps.push_back({"SELECT", std::to_string(address.database)});
    }
    steps.push_back({"PING"});
    if (options.primary) {
        steps.push_back({"ROLE"});
    }
    std::string bytes;
    for (const Command& command : steps) {
        encode(bytes, command);
    }
    if (Result<void> sent = send(bytes, deadline); !sent) {
        return sent;
    }
    std::vector<Answer> answers;
    while (answers.size() < steps.size()) {
        const std::size_t known = answers.size();
        if (Result<void> ready = m_socket.wait(POLLIN, deadline); !ready) {
            return ready;
        }
        if (Result<void> read = receive_some(answers); !read) {
            return read;
        }
        for (std::size_t i = known; i < answers.size() && i < steps.size(); ++i) {
            if (Result<void> passed = check_step(steps[i].front(), answers[i]); !passed) {
                return passed;
            }
        }
    }
    m_database = address.database;
    return {};
}

}  // namespace mt::redis
