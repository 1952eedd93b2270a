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

/// Bounds of a chunked body, each over the whole message.
struct ChunkLimits {
    std::size_t max_content;        ///< bytes
    std::size_t max_trailer_bytes;  ///< with line ends
    std::size_t max_trailers;
};

/// Takes a chunked body apart (RFC 9112 section 7.1), piece by piece. Extensions are ignored and trailers checked and
/// dropped; both are bounded over the whole message.
class ChunkReader {
  public:
    explicit ChunkReader(const ChunkLimits& limits) : m_limits(limits) {}

    /// Takes bytes from the front of `bytes` up to the end of the next piece of content, which `content` then shows
    /// where it lies; empty when more bytes are needed first. True: the body is complete, and `bytes` starts after it.
    /// Errors: invalid, too_large (content), head_too_large (trailers).
    Result<bool> next(std::string_view& bytes, std::string_view& content);

  private:
    enum class Part { size_line, data, data_end, trailer };

    Result<bool> feed_line(char c);
    Result<bool> end_line();
    Result<void> read_size_line();
    Result<bool> read_trailer_line();

    ChunkLimits m_limits;
    Part m_part = Part::size_line;
    LineScanner m_scanner{};
    std::string m_line{};               ///< of a chunk size or a trailer, with its line end
    std::size_t m_left = 0;             ///< bytes of the chunk still to come
    std::size_t m_content = 0;          ///< bytes of all chunks announced so far
    std::size_t m_extension_bytes = 0;  ///< over all chunks
    std::size_t m_trailer_bytes = 0;
    std::size_t m_trailers = 0;
};

/// Collects the content of a request's chunked body.
class ChunkedBody {
  public:
    explicit ChunkedBody(const ServerLimits& limits)
        : m_reader({limits.max_body, limits.max_head, limits.max_fields}) {}

    /// Takes bytes from the front of `bytes`, appends content to `body`. True: the body is complete, and `bytes` starts
    /// after it. Errors: as ChunkReader::next.
    Result<bool> feed(std::string_view& bytes, std::string& body);

  private:
    ChunkReader m_reader;
};

}  // namespace mt::http
