#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/chunked.h"
#include "http/grammar.h"

namespace mt::http {

/// What the head of a reply says. The views show the text that was parsed.
struct ResponseHead {
    enum class Body { none, length, chunked, until_close };

    int status = 0;
    bool keep_alive = true;  ///< the connection may be used again: HTTP/1.1 without "close"
    Body body = Body::none;
    std::size_t content_length = 0;  ///< bytes, with Body::length
    std::vector<FieldLine> fields{};

    /// 1xx: another head follows.
    [[nodiscard]] bool interim() const { return status < 200; }
    /// First field of that name (case-insensitive).
    [[nodiscard]] std::optional<std::string_view> field(std::string_view name) const;
};

/// Finds the end of a reply's head while its bytes come in. Strict about line ends and control bytes, and refuses as
/// soon as the bytes can be no HTTP/1.
class HeadEnd {
  public:
    /// `max_head`: bytes with the empty line.
    explicit HeadEnd(std::size_t max_head) : m_max(max_head) {}

    /// `bytes` are all that came so far: what was shown before, at the same place, and more. The size of the head with
    /// its empty line once it is there. Errors: upstream.
    Result<std::optional<std::size_t>> find(std::string_view bytes);

  private:
    std::size_t m_max;
    std::size_t m_seen = 0;
    std::size_t m_line = 0;  ///< bytes of the current line
    LineScanner m_scanner{};
};

/// Reads a complete head (RFC 9112 sections 4 to 6), which must live as long as what is returned. `to_head_request`:
/// no body follows whatever it says. What two readers could understand differently is refused. Errors: upstream,
/// without the value of any field.
Result<ResponseHead> parse_response_head(std::string_view text, bool to_head_request);

}  // namespace mt::http
