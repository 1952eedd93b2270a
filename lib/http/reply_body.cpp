#include "http/reply_body.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

namespace mt::http {
namespace {

constexpr ChunkLimits k_limits{std::numeric_limits<std::size_t>::max(), 64UL * 1024, 200};

}  // namespace

ReplyBody::ReplyBody(ResponseHead::Body kind, std::size_t content_length)
    : m_kind(kind),
      m_left(kind == ResponseHead::Body::length ? content_length : std::numeric_limits<std::size_t>::max()),
      m_complete(kind == ResponseHead::Body::none || m_left == 0),
      m_chunks(k_limits) {}

Result<std::string_view> ReplyBody::take(InputBuffer& input) {
    if (m_complete) {
        return std::string_view{};
    }
    if (m_kind == ResponseHead::Body::chunked) {
        return take_chunks(input);
    }
    const std::string_view content = input.text().substr(0, std::min(m_left, k_most));
    input.consume(content.size());
    if (m_kind == ResponseHead::Body::length) {
        m_left -= content.size();
        m_complete = m_left == 0;
    }
    return content;
}

Result<std::string_view> ReplyBody::take_chunks(InputBuffer& input) {
    const std::span<char> all = input.content();
    std::string_view rest(all.data(), all.size());
    char* start = nullptr;
    std::size_t size = 0;
    while (!rest.empty() && !m_complete && !m_fault && size < k_most) {
        std::string_view shown = rest.substr(0, k_most - size);
        const std::size_t before = shown.size();
        std::string_view content;
        Result<bool> ended = m_chunks.next(shown, content);
        if (ended) {
            m_complete = *ended;
        } else {
            m_fault = Error{Code::upstream, fmt::format("its body is malformed: {}", ended.error().message)};
        }
        rest.remove_prefix(before - shown.size());
        if (start == nullptr && !content.empty()) {
            start = all.data() + (content.data() - all.data());
        } else if (!content.empty()) {
            std::memmove(start + size, content.data(), content.size());
        }
        size += content.size();
    }
    input.consume(all.size() - rest.size());
    if (size == 0 && m_fault) {
        return *m_fault;
    }
    return std::string_view(start, size);
}

Result<void> ReplyBody::end(bool orderly) {
    if (m_kind == ResponseHead::Body::until_close && orderly) {
        m_complete = true;
    }
    return m_complete ? Result<void>() : Error{Code::upstream, "it is cut"};
}

}  // namespace mt::http
