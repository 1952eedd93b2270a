#include "http/upstream_pool.h"

#include <utility>

namespace mt::http {

std::unique_ptr<UpstreamConnection> UpstreamPool::take() {
    const std::int64_t now_ns = m_clock.boot_ns();
    for (;;) {
        std::unique_ptr<UpstreamConnection> connection;
        std::deque<Idle> old;  // closed without the lock
        {
            const std::lock_guard lock(m_mutex);
            if (m_idle.empty()) {
                return nullptr;
            }
            if (now_ns - m_idle.back().since_ns >= m_idle_ns) {
                old.swap(m_idle);
                return nullptr;
            }
            connection = std::move(m_idle.back().connection);
            m_idle.pop_back();
        }
        if (connection->quiet()) {
            return connection;
        }
    }
}

void UpstreamPool::put(std::unique_ptr<UpstreamConnection> connection) {
    connection->input().shrink();
    const std::int64_t now_ns = m_clock.boot_ns();
    Idle old{};  // closed without the lock; one a time keeps up with what comes
    const std::lock_guard lock(m_mutex);
    if (!m_idle.empty() && (m_idle.size() >= m_max_idle || now_ns - m_idle.front().since_ns >= m_idle_ns)) {
        old = std::move(m_idle.front());
        m_idle.pop_front();
    }
    if (m_idle.size() < m_max_idle) {
        m_idle.push_back({std::move(connection), now_ns});
    }
}

std::size_t UpstreamPool::size() const {
    const std::int64_t now_ns = m_clock.boot_ns();
    const std::lock_guard lock(m_mutex);
    std::size_t young = 0;
    for (const Idle& idle : m_idle) {
        young += now_ns - idle.since_ns < m_idle_ns ? 1 : 0;
    }
    return young;
}

}  // namespace mt::http
