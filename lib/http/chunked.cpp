#include "http/chunked.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "http/grammar.h"

namespace mt::http {
namespace {

constexpr std::size_t k_longest_size = 16;             // hexadecimal digits of a 64-bit size
constexpr std::size_t k_most_extensions = 8UL * 1024;  // bytes over the whole message

constexpr std::array<bool, 256> make_ordinary() {
    std::array<bool, 256> ordinary{};
    for (unsigned byte = 0; byte < ordinary.size(); ++byte) {
        ordinary[byte] = (byte >= 0x20 && byte != 0x7F) || byte == '\t';
    }
    return ordinary;
}

constexpr std::array<bool, 256> k_ordinary = make_ordinary();

bool is_ordinary(char c) {
    return k_ordinary[static_cast<unsigned char>(c)];
}

Error bad(std::string message) {
    return Error{Code::invalid, std::move(message)};
}

}  // namespace

LineScanner::State LineScanner::next(char c) {
    if (m_after_cr) {
        m_after_cr = false;
        return c == '\n' ? State::ended : State::refused;
    }
    if (c == '\r') {
        m_after_cr = true;
        return State::inside;
    }
    return is_ordinary(c) ? State::inside : State::refused;
}

std::size_t LineScanner::skip_ordinary(std::string_view bytes) const {
    if (m_after_cr) {
        return 0;
    }
    const auto* end = std::find_if_not(bytes.begin(), bytes.end(), is_ordinary);
    return static_cast<std::size_t>(end - bytes.begin());
}

Result<bool> ChunkReader::next(std::string_view& bytes, std::string_view& content) {
    content = {};
    while (!bytes.empty()) {
        if (m_part == Part::data) {
            content = bytes.substr(0, std::min(m_left, bytes.size()));
            bytes.remove_prefix(content.size());
            m_left -= content.size();
            m_part = m_left == 0 ? Part::data_end : Part::data;
            return false;
        }
        Result<bool> ended = feed_line(bytes.front());
        bytes.remove_prefix(1);
        if (!ended) {
            return ended;
        }
        if (*ended) {
            Result<bool> complete = end_line();
            m_line.clear();
            if (!complete || *complete) {
                return complete;
            }
        }
    }
    return false;
}

// True when `c` ends the line.
Result<bool> ChunkReader::feed_line(char c) {
    m_line += c;
    const LineScanner::State state = m_scanner.next(c);
    if (state == LineScanner::State::refused || (m_part == Part::data_end && c != "\r\n"[m_line.size() - 1])) {
        return bad("a line of the chunked body holds a control byte or ends wrongly");
    }
    if (m_part == Part::size_line && m_line.size() > k_longest_size + k_most_extensions) {
        return bad("the extensions of a chunk are too long");
    }
    if (m_part == Part::trailer && ++m_trailer_bytes > m_limits.max_trailer_bytes) {
        return Error{Code::head_too_large, fmt::format("trailers of more than {} bytes", m_limits.max_trailer_bytes)};
    }
    return state == LineScanner::State::ended;
}

Result<bool> ChunkReader::end_line() {
    m_line.resize(m_line.size() - 2);
    switch (m_part) {
        case Part::size_line: {
            if (Result<void> size = read_size_line(); !size) {
                return std::move(size.error());
            }
            m_part = m_left == 0 ? Part::trailer : Part::data;
            return false;
        }
        case Part::trailer:
            return read_trailer_line();
        case Part::data_end:
        case Part::data:
            m_part = Part::size_line;
            break;
    }
    return false;
}

Result<void> ChunkReader::read_size_line() {
    const std::size_t digits = std::min(m_line.find_first_not_of("0123456789abcdefABCDEF"), m_line.size());
    const std::string_view rest = trim_blanks(std::string_view(m_line).substr(digits));
    const bool only_size = digits == m_line.size();
    if (digits == 0 || digits > k_longest_size || (!only_size && (rest.empty() || rest.front() != ';'))) {
        return bad(fmt::format("chunk size {} is no hexadecimal number", quote(m_line)));
    }
    m_extension_bytes += m_line.size() - digits;
    if (m_extension_bytes > k_most_extensions) {
        return bad("the extensions of the chunks are too long");
    }
    std::size_t size = 0;
    for (const char c : std::string_view(m_line).substr(0, digits)) {
        size = size * 16 + static_cast<std::size_t>(hex_digit(c));
    }
    if (size > m_limits.max_content - m_content) {
        return Error{Code::too_large, fmt::format("a chunked body over the limit of {} bytes", m_limits.max_content)};
    }
    m_content += size;
    m_left = size;
    return {};
}

Result<bool> ChunkReader::read_trailer_line() {
    if (m_line.empty()) {
        return true;
    }
    if (!split_field(m_line)) {
        return bad("a trailer of the chunked body is malformed");
    }
    if (++m_trailers > m_limits.max_trailers) {
        return Error{Code::head_too_large, fmt::format("more than {} trailers", m_limits.max_trailers)};
    }
    return false;
}

Result<bool> ChunkedBody::feed(std::string_view& bytes, std::string& body) {
    while (!bytes.empty()) {
        std::string_view content;
        Result<bool> complete = m_reader.next(bytes, content);
        if (!complete || *complete) {
            return complete;
        }
        body.append(content);
    }
    return false;
}

}  // namespace mt::http
