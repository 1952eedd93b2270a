#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/server.h"

namespace mt::http {

/// Watches bytes for what no head, chunk line or trailer may hold: a CR without LF, an LF without CR, NUL and the other
/// control bytes but the tab (RFC 9112 section 2.2: a lenient reader is where smuggling starts).
class LineScanner {
  public:
    enum class State { inside, ended, refused };

    State next(char c);

    /// How many bytes at the front of `bytes` are ordinary ones: next() would say `inside` to each and stay as it is.
    [[nodiscard]] std::size_t skip_ordinary(std::string_view bytes) const;

  private:
    bool m_after_cr = false;
};

/// Takes a chunked body apart (RFC 9112 section 7.1), piece by piece. Extensions are ignored and trailers checked and
/// dropped; both are bounded over the whole message.
class ChunkedBody {
  public:
    /// `limits` must outlive the object.
    explicit ChunkedBody(const ServerLimits& limits) : m_limits(&limits) {}

    /// Takes bytes from the front of `bytes`, appends content to `body`. True: the body is complete, and `bytes` starts
    /// after it. Errors: invalid, too_large (body), head_too_large (trailers).
    Result<bool> feed(std::string_view& bytes, std::string& body);

  private:
    enum class Part { size_line, data, data_end, trailer };

    Result<bool> feed_line(char c);
    Result<bool> end_line(std::size_t body_size);
    Result<void> read_size_line(std::size_t body_size);
    Result<bool> read_trailer_line();

    const ServerLimits* m_limits;
    Part m_part = Part::size_line;
    LineScanner m_scanner{};
    std::string m_line{};               ///< of a chunk size or a trailer, with its line end
    std::size_t m_left = 0;             ///< bytes of the chunk still to come
    std::size_t m_extension_bytes = 0;  ///< over all chunks
    std::size_t m_trailer_bytes = 0;
    std::size_t m_trailers = 0;
};

}  // namespace mt::http
