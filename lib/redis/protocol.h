#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "redis/reply.h"

struct redisReader;

namespace mt::redis {

// The wire format RESP2 (redis.io/docs/reference/protocol-spec) and the words of Redis's errors.

/// Appends a command to what will be sent.
void encode(std::string& out, const Command& command);
/// Appends a script's run by its SHA-1, or by its text.
void encode(std::string& out, const Call& call, bool by_text);

/// What Redis said: a reply, or the text of an error, its own or of something inside of the reply.
struct Answer {
    Reply reply{};
    std::optional<std::string> error{};
};

/// Cuts a stream of bytes into answers. Not thread-safe.
class Parser {
  public:
    Parser();
    Parser(const Parser&) = delete;
    Parser& operator=(const Parser&) = delete;
    ~Parser() = default;

    void feed(std::string_view bytes);
    /// The next complete answer, if there is one.
    std::optional<Answer> next();
    /// What came was no RESP2: the connection is of no more use.
    [[nodiscard]] bool is_broken() const;

  private:
    struct Free {
        void operator()(redisReader* reader) const;
    };
    std::optional<std::string> m_error;  // of the answer that is being read
    std::unique_ptr<redisReader, Free> m_reader;
};

/// What an error of Redis means for us.
enum class Meaning {
    refused,      ///< the command itself is at fault
    unknown_sha,  ///< NOSCRIPT
    full,         ///< no memory for writes; reads go on
    away,         ///< it cannot serve now
    elsewhere,    ///< it cannot serve over this connection: another may reach a server that can
};
Meaning meaning_of(std::string_view error);

/// The capital word at the start of an error, such as "WRONGTYPE"; "MAXCLIENTS" for too many of them, "ERR" where there
/// is none. The rest of an error may repeat keys and values.
std::string word_of(std::string_view error);

/// For the caller of a command that Redis refused, and for one that met a server in want of memory.
Error refused(std::string_view error);
Error out_of_memory(std::string_view server);
/// For a caller while the server is away for reasons that its Backend need not count.
Error away(std::string_view server, std::string_view fault);

}  // namespace mt::redis
