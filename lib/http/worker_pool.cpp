#include "http/worker_pool.h"

#include <sched.h>

#include <algorithm>

namespace mt::http {

WorkerPool::WorkerPool(int threads, std::size_t max_queue, const std::function<Work()>& make_work)
    : m_max_queue(max_queue) {
    for (int i = 0; i < threads; ++i) {
        m_threads.emplace_back([this, make_work] { run(make_work); });
    }
}

WorkerPool::~WorkerPool() {
    {
        const std::lock_guard lock(m_mutex);
        m_stopping = true;
    }
    m_wake.notify_all();
    m_threads.clear();
}

std::size_t WorkerPool::submit(std::span<Connection* const> connections) {
    std::size_t taken = 0;
    {
        const std::lock_guard lock(m_mutex);
        taken = std::min(connections.size(), m_max_queue - std::min(m_max_queue, m_queue.size()));
        m_queue.insert(m_queue.end(), connections.begin(), connections.begin() + static_cast<std::ptrdiff_t>(taken));
    }
    for (std::size_t i = 0; i < std::min(taken, m_threads.size()); ++i) {
        m_wake.notify_one();
    }
    return taken;
}

int WorkerPool::default_threads() {
    constexpr int k_fewest = 4;
    cpu_set_t usable;
    CPU_ZERO(&usable);
    if (sched_getaffinity(0, sizeof(usable), &usable) != 0) {
        return k_fewest;
    }
    return std::max(k_fewest, CPU_COUNT(&usable));
}

void WorkerPool::run(const std::function<Work()>& make_work) {
    const Work work = make_work();
    for (Connection* connection = next(); connection != nullptr; connection = next()) {
        work(*connection);
    }
}

Connection* WorkerPool::next() {
    std::unique_lock lock(m_mutex);
    m_wake.wait(lock, [this] { return m_stopping || !m_queue.empty(); });
    if (m_queue.empty()) {
        return nullptr;
    }
    Connection* connection = m_queue.front();
    m_queue.pop_front();
    return connection;
}

}  // namespace mt::http
