#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace mt::http {

/// Bytes that came over a connection and are not used yet. Not thread-safe.
class InputBuffer {
  public:
    static constexpr std::size_t k_small = 16UL * 1024;  ///< bytes that it holds at first
    static constexpr std::size_t k_large = 64UL * 1024;  ///< when replies turn out to be longer than that

    [[nodiscard]] bool empty() const { return m_begin == m_end; }
    [[nodiscard]] std::span<char> content() const { return {m_bytes.get() + m_begin, m_end - m_begin}; }
    [[nodiscard]] std::string_view text() const { return {m_bytes.get() + m_begin, m_end - m_begin}; }
    void consume(std::size_t bytes) { m_begin += bytes; }

    /// Where to put what comes next, never empty. What content() has shown moves.
    std::span<char> room() {
        const bool filled = m_end == m_capacity;
        if (empty()) {
            m_begin = m_end = 0;
        }
        if (filled && m_end < m_capacity && m_capacity < k_large) {
            resize(k_large);  // nothing to keep, but the last read could have taken more
        } else if (m_end == m_capacity) {
            resize(m_begin > 0 ? m_capacity : m_capacity == 0 ? k_small : 2 * m_capacity);
        }
        return {m_bytes.get() + m_end, m_capacity - m_end};
    }
    /// So many bytes have been put into room().
    void added(std::size_t bytes) { m_end += bytes; }

    /// Gives back memory beyond what an idle connection needs. Only while empty.
    void shrink() {
        if (m_capacity > k_small) {
            *this = InputBuffer();
        }
    }

  private:
    void resize(std::size_t capacity) {
        auto fresh = std::make_unique_for_overwrite<char[]>(capacity);
        const std::size_t size = m_end - m_begin;
        if (size > 0) {
            std::memcpy(fresh.get(), m_bytes.get() + m_begin, size);
        }
        m_bytes = std::move(fresh);
        m_capacity = capacity;
        m_begin = 0;
        m_end = size;
    }

    std::unique_ptr<char[]> m_bytes{};
    std::size_t m_capacity = 0;
    std::size_t m_begin = 0;
    std::size_t m_end = 0;
};

}  // namespace mt::http
