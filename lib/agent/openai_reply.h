#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model.h"
#include "base/result.h"

namespace mt {

// The wire format of OpenAI's chat completions, as a client reads it
// (https://platform.openai.com/docs/api-reference/chat). Nothing here waits or keeps state but ReplyReader.

/// Reads the answer of a server and tells it to a sink. Tool calls are numbered in the order in which they begin,
/// whatever index the server gives them, and get an id where it gives none. Used for one answer, by one thread.
class ReplyReader {
  public:
    explicit ReplyReader(Sink& sink) : m_sink(sink) {}

    /// A complete reply. Errors: upstream (no chat completion, or an error in its place), client_gone (the sink stopped
    /// it).
    Result<void> read_reply(const std::string& body);

    /// The data of one event of a stream. `more`: another one is here already. Errors: as read_reply.
    Result<void> read_event(std::string_view data, bool more);

    /// "[DONE]" has come: nothing follows.
    [[nodiscard]] bool is_done() const { return m_done; }
    /// The stream has ended: tells why the choices ended that have not said so. Errors: upstream (it was cut: neither
    /// "[DONE]" has come, which some servers leave out, nor the end of each choice), client_gone.
    Result<void> end();
    /// What the server says was used; nothing when it did not.
    [[nodiscard]] const std::optional<Usage>& usage() const { return m_usage; }
    /// By estimate_tokens, of all that has come.
    [[nodiscard]] std::int64_t estimated_tokens_out() const;

  private:
    struct CallState {
        std::optional<int> index{};  ///< the server's
        std::string id{};            ///< the server's, "" when it gave none
    };
    struct ChoiceState {
        std::vector<CallState> calls{};  ///< those that have begun
        bool finished = false;
    };
    class Parser;

    bool tell(const ModelEvent& event);
    bool finish_all();
    ChoiceState& choice(int number);

    Sink& m_sink;
    std::vector<ChoiceState> m_choices{};
    std::optional<Usage> m_usage{};
    std::size_t m_bytes = 0;  ///< of texts and arguments
    bool m_done = false;
};

/// What a server says of its own failure, as far as a client may know it.
struct ServerFault {
    std::string message;
    std::string type;
    std::string code;
    std::string param;
};
/// Reads an error body, empty texts where it has none. Each is cut to 500 bytes.
ServerFault read_fault(const std::string& body);

}  // namespace mt
