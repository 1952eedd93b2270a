#pragma once

#include <atomic>
#include <cstddef>

namespace mt::http {

/// What a server carries at the moment, over all its threads.
struct Load {
    std::atomic<std::size_t> in_flight{0};  ///< complete requests whose reply is not out yet
    std::atomic<std::size_t> buffered{0};   ///< bytes of requests in memory
    std::atomic<std::size_t> away{0};       ///< threads in a handler that has lost its seat: it waits, or takes long
};

/// This connection's part of a gauge; gives it back at the end. Not thread-safe.
class Share {
  public:
    explicit Share(std::atomic<std::size_t>& whole) : m_whole(&whole) {}
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share() { set(0); }

    /// Makes this part `size`.
    void set(std::size_t size) {
        if (size != m_size) {
            m_whole->fetch_add(size - m_size, std::memory_order_relaxed);  // unsigned: wraps the right way
            m_size = size;
        }
    }

  private:
    std::atomic<std::size_t>* m_whole;
    std::size_t m_size = 0;
};

}  // namespace mt::http
