#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/chunked.h"
#include "http/head.h"
#include "http/message.h"
#include "http/server.h"

namespace mt::http {

/// One complete request and what its head said about the connection.
struct Message {
    Request request{};
    bool http11 = true;      ///< false: HTTP/1.0
    bool keep_alive = true;  ///< the client wants the connection to stay

    /// Exchanges the contents, memory included.
    void swap(Message& other) { std::swap(*this, other); }
};

/// Finds the requests in the bytes of one connection, strictly by RFC 9112. The outcome does not depend on how the
/// bytes are cut into pieces. After an error the place of the next request is unknown: answer, then close. Not
/// thread-safe.
class Framer {
  public:
    enum class Progress { empty, head, body };  ///< what the bytes taken so far belong to

    /// `limits` must outlive the object.
    explicit Framer(const ServerLimits& limits);

    /// Takes bytes from the front of `bytes`, never beyond the end of a message. True: take() the message, and `bytes`
    /// starts with the next one; false: more bytes are needed. Errors: invalid, uri_too_long, head_too_large,
    /// too_large, unsupported_media, expectation_failed, unsupported.
    Result<bool> feed(std::string_view& bytes);

    /// The complete message; the framer is then ready for the next one.
    Message take();

    [[nodiscard]] Progress progress() const { return m_progress; }

    /// Bytes that it keeps of the message so far.
    [[nodiscard]] std::size_t held() const { return m_text.capacity() + m_head.request.body.capacity(); }

    /// The message, as far as it came, asks for a reply without a body.
    [[nodiscard]] bool is_head_request() const { return m_is_head_request; }

    /// True once after a good head that expects 100 (Continue), unless bytes of the body have come by themselves
    /// (RFC 9110 section 10.1.1).
    bool wants_continue();

  private:
    Result<bool> feed_head(std::string_view& bytes);
    void note_method(std::string_view bytes);
    [[nodiscard]] std::size_t room() const;
    Result<bool> feed_byte(char c);
    Result<bool> end_head(std::string_view piece, std::string_view& rest);
    [[nodiscard]] Result<void> check_size() const;
    Result<bool> begin_body(std::string_view head);
    Result<bool> feed_body(std::string_view& bytes);

    const ServerLimits* m_limits;
    Progress m_progress = Progress::empty;
    LineScanner m_scanner{};
    std::string m_text{};         ///< the part of a head that came in earlier pieces
    std::size_t m_size = 0;       ///< bytes of the head so far
    std::size_t m_line_size = 0;  ///< bytes of its current line
    bool m_in_first_line = true;
    Head m_head{};
    bool m_wants_continue = false;
    bool m_is_head_request = false;
    std::optional<ChunkedBody> m_chunks{};
};

}  // namespace mt::http
