#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mt::test {

/// Something that a test lets happen once and that scripts wait for. Thread-safe.
class Latch {
  public:
    Latch();
    Latch(const Latch&) = delete;
    Latch& operator=(const Latch&) = delete;
    ~Latch();

    void open();
    /// False when it was not opened within that time.
    [[nodiscard]] bool wait(std::chrono::milliseconds patience = std::chrono::seconds(10)) const;
    /// Readable once it is open.
    [[nodiscard]] int fd() const { return m_fd; }

  private:
    int m_fd;
};

using ScriptFields = std::vector<std::pair<std::string, std::string>>;

/// One request as it came.
struct Recorded {
    std::string method;
    std::string target;
    ScriptFields fields;
    std::string body;
    int number = 0;      ///< counted from 0 over all connections
    int connection = 0;  ///< counted from 0
    /// When the server noticed that the client closed before the script had ended.
    std::optional<std::chrono::steady_clock::time_point> left_at{};

    /// First field of that name (case-insensitive), or "".
    [[nodiscard]] std::string field(std::string_view name) const;
};

/// How a script answers one request. Used by the script's thread alone. Everything that returns bool says false once
/// the client is gone or the server ends.
class ScriptedReply {
  public:
    struct State;
    explicit ScriptedReply(State& state) : m_state(state) {}
    ScriptedReply(const ScriptedReply&) = delete;
    ScriptedReply& operator=(const ScriptedReply&) = delete;
    ~ScriptedReply() = default;

    /// A whole reply with Content-Length. Content-Type is application/json unless `fields` name another.
    bool send(int status, std::string_view body, const ScriptFields& fields = {});
    /// The head of a chunked text/event-stream.
    bool start_stream(int status = 200, const ScriptFields& fields = {});
    /// One event with this data, as a chunk of its own.
    bool event(std::string_view data);
    /// Bytes of the stream, as one chunk.
    bool chunk(std::string_view bytes);
    /// The last chunk.
    bool finish();
    /// Bytes past all framing.
    bool raw(std::string_view bytes);

    /// Waits until the latch opens.
    bool wait_for(const Latch& latch);
    /// True when the client has closed within that time.
    bool wait_until_gone(std::chrono::milliseconds patience = std::chrono::seconds(10));
    /// Says nothing until the client leaves or the server ends.
    void keep_silent();
    /// Closes the connection when the script returns, as every connection is closed that a script left in mid-reply.
    void cut();
    /// The same with a reset.
    void reset();

  private:
    State& m_state;
};

/// Runs in a thread per connection; must not throw.
using Script = std::function<void(const Recorded&, ScriptedReply&)>;

/// An HTTP/1.1 server on a free port of 127.0.0.1 that plays a model's server by a script. Keeps connections alive;
/// serves any number of them at once, a thread each. Needs no test framework. Thread-safe; the destructor cuts every
/// connection, which ends the waits of scripts.
class ScriptedUpstream {
  public:
    /// Throws std::runtime_error when it cannot listen.
    explicit ScriptedUpstream(Script script);
    ScriptedUpstream(const ScriptedUpstream&) = delete;
    ScriptedUpstream& operator=(const ScriptedUpstream&) = delete;
    ~ScriptedUpstream();

    [[nodiscard]] int port() const;
    /// "http://127.0.0.1:PORT" and this path.
    [[nodiscard]] std::string url(const std::string& path = "") const;

    /// Answers from now on.
    void set_script(Script script);
    /// Closes the connections that wait for another request, and each of the others when its script returns.
    void close_idle();

    [[nodiscard]] std::vector<Recorded> requests() const;
    [[nodiscard]] std::size_t request_count() const;
    /// Accepted so far.
    [[nodiscard]] std::size_t connections() const;
    [[nodiscard]] std::size_t open_connections() const;

    /// These return false when the number was not reached in time. At least so many requests; so many that their
    /// client left early; at most so many open connections.
    [[nodiscard]] bool wait_for_requests(std::size_t count) const;
    [[nodiscard]] bool wait_for_departures(std::size_t count) const;
    [[nodiscard]] bool wait_for_open(std::size_t at_most) const;

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace mt::test
