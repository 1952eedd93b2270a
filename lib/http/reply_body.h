#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "http/chunked.h"
#include "http/input_buffer.h"
#include "http/response_head.h"

namespace mt::http {

/// Takes the content of a reply's body out of what came over the connection, as its head has announced it. The content
/// does not depend on how the bytes arrive. Not thread-safe.
class ReplyBody {
  public:
    static constexpr std::size_t k_most = 64UL * 1024;  ///< bytes of one take()

    ReplyBody(ResponseHead::Body kind, std::size_t content_length);

    /// Content from the front of `input`, as much as is there and k_most at most, moved together where chunks part it.
    /// It lies in `input` and is good until something is added there. Empty: more bytes are needed, or it is complete.
    /// Errors: upstream.
    Result<std::string_view> take(InputBuffer& input);

    /// The connection has ended; `orderly`: what came is all that was sent. Errors: upstream when that is too early.
    Result<void> end(bool orderly);

    /// Everything has been taken.
    [[nodiscard]] bool complete() const { return m_complete; }

  private:
    Result<std::string_view> take_chunks(InputBuffer& input);

    ResponseHead::Body m_kind;
    std::size_t m_left;  ///< bytes, with Body::length
    bool m_complete;
    ChunkReader m_chunks;
    std::optional<Error> m_fault{};  ///< comes after the content before it
};

}  // namespace mt::http
